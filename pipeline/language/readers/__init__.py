"""Files of tokens and their tags, as data sets publish them."""

__all__ = ["columns", "decoding", "json_lines", "recognition", "registry"]
