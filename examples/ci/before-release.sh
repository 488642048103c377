#!/bin/sh
# Before a release, on a machine that holds the data: the audit with more shadow models, a gate on the worst records too,
# and the evidence of it, signed. Stops where the gate is not shown to be kept.
set -eu

memberwise audit study.toml --out run --shadow-models 128 --fail-if "tpr@0.001>0.01" --fail-if "exposed(0.9)>0.01"
memberwise evidence run --out evidence --sign release.key
memberwise evidence verify evidence --key release.key.pub
