"""Packages of the distribution: the project's own, and the method alone under a name of its own.

`cotuning` is the folder pipeline/cotuning; pyproject.toml, which has all else, cannot say that.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["pipeline*", "stages*"]), "cotuning"],
    package_dir={"cotuning": "pipeline/cotuning"},
)
