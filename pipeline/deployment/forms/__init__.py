"""What a fine-tuned model can be exported as; a file a form, as protocol Form of exports has it."""

__all__ = [
    "hugging_face",
    "mlflow",
    "onnx",
    "serving",
    "torch_export",
    "weights",
]
