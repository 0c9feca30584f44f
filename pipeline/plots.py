"""Figures from plain data. Each function returns a Figure that no global state knows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from pipeline.cotuning.calibration import ReliabilityCurve, expected_calibration_error
from pipeline.files import write_aside

DPI = 144
GREY, BLUE, ORANGE = "#767676", "#0072B2", "#D55E00"
METHOD_COLOURS = {"vanilla": GREY, "co-tuning": BLUE}
FURTHER_COLOURS = (ORANGE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "legend.frameon": False,
}
LABEL_PITCH = 0.13  # inches between tick labels that do not touch
LONGEST_NAME = 26  # characters
LABELLED_CLASSES = 40
ANNOTATED_CLASSES = 15
HEAT_MAP_COLUMNS = 60
TOP_PER_CLASS = 5

