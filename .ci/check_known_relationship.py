"""Whether the learned relationship is the true one and worth more than a wrong one, each seed."""

import sys
from pathlib import Path

import pandas as pd

LEAST_GAIN = 3.0  # points of accuracy over a shuffled and over a marginal relationship
LEAST_MASS = 0.6  # of each row, on the categories of its class

cells = pd.read_csv(Path("data/fine-tune-cells/cells.csv"))
accuracy = 100 * cells.pivot(index="seed", columns="taught_by", values="accuracy")
mass = cells[cells["taught_by"] == "auto"].set_index("seed")["recovered_mass"]
failed = []
for seed, row in accuracy.iterrows():
    gains = {control: row["auto"] - row[control] for control in ("shuffled", "marginal")}
    told = ", ".join(f"{gain:+.1f} points to {control}" for control, gain in gains.items())
    sys.stdout.write(
        f"seed {seed}: {told}; {mass[seed]:.2f} of the mass recovered; vanilla "
        f"{row['vanilla']:.1f}%, learned {row['auto']:.1f}%, true {row['truth']:.1f}%\n"
    )
    if min(gains.values()) <= LEAST_GAIN or mass[seed] < LEAST_MASS:
        failed.append(seed)
if failed:
    sys.exit(
        f"seeds {failed}: expected more than {LEAST_GAIN:g} points to each control, and at least "
        f"{LEAST_MASS:g} of the mass"
    )
