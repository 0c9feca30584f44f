"""The images that source models are published for, known without loading a network."""

from pipeline.params.sections import SourceModel

LOCAL_WEIGHTS = (".safetensors", ".pt", ".pth")
# Side in pixels of the crop that the newest published weights are evaluated on, where not USUAL.
USUAL = 224
SIZES = {
    "efficientnet_b1": 240,
    "efficientnet_b2": 288,
    "efficientnet_b3": 300,
    "efficientnet_b4": 380,
    "efficientnet_b5": 456,
    "efficientnet_b6": 528,
    "efficientnet_b7": 600,
    "efficientnet_v2_l": 480,
    "efficientnet_v2_m": 480,
    "efficientnet_v2_s": 384,
    "inception_v3": 299,
    "regnet_y_128gf": 384,
    "swin_v2_b": 256,
    "swin_v2_s": 256,
    "swin_v2_t": 256,
    "vit_h_14": 518,
}


def published_size(name: str) -> int:
    """Side, in pixels, of the images that a source model's newest published weights are for."""
    return SIZES.get(name, USUAL)


def warn_of_size(source: SourceModel) -> str:
    """One line where the network input is below half of the published size, else "".

    Nothing is known, and nothing said, of weights that are a local file.
    """
    size = published_size(source.name)
    if source.weights.endswith(LOCAL_WEIGHTS) or source.input_size >= size / 2:
        return ""
    return (
        f"source_model.input_size is {source.input_size} px, {source.name} is published for "
        f"{size} px; below half of that it recognises little, so that the relationship knows "
        f"little; raise source_model.input_size and prepare_data.stored_size, at best to {size}"
    )
