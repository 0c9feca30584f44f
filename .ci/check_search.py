"""Whether the search recommends Co-Tuning where it helps and vanilla where it hurts."""

import sys

import pandas as pd

LEAST_ERRORS = 2.0  # standard errors of the gain over all samples together; about 4 are usual

helps, hurts = (pd.read_csv(path) for path in sys.argv[1:])
failed = []
for table, sign, word in ((helps, 1, "helps"), (hurts, -1, "hurts")):
    errors = table["nats"].sum() / (table["error"] ** 2).sum() ** 0.5
    test = table["gain_points"].mean()
    sys.stdout.write(
        f"where Co-Tuning {word}: {test:+.1f} points on test; on held-out images "
        f"{table['nats'].mean():+.3f} nats, {errors:+.1f} standard errors; recommended on "
        f"{int(table['recommended'].sum())} of {len(table)} samples\n"
    )
    if sign * errors < LEAST_ERRORS or sign * test <= 0:
        failed.append(word)
if failed:
    sys.exit(f"where Co-Tuning {' and '.join(failed)}: expected {LEAST_ERRORS:g} standard errors")
