"""The stages of a project of text, each under the name that its like of images has."""
