"""Whether Co-Tuning gained at the lowest sampling rate, in the claims table beside dvc.yaml."""

import sys
from pathlib import Path

import pandas as pd

summary = pd.read_csv(Path("data/claims/summary.csv"))
scarce = summary[summary["images_per_class"] == summary["images_per_class"].min()]
gain = scarce.set_index("row").loc["co-tuning"]
points = {end: 100 * gain[f"to_vanilla{end}"] for end in ("", "_low", "_high")}
text = (
    f"{gain['images_per_class']:.0f} images a class, {gain['seeds']:.0f} seeds: co-tuning's mean "
    f"paired gain over vanilla is {points['']:+.2f} points ({points['_low']:+.2f} to "
    f"{points['_high']:+.2f})"
)
sys.stdout.write(f"{text}\n")
if not points[""] > 0:
    sys.exit("expected a gain above 0")
