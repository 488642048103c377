"""``memberwise init``: a commented study to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from memberwise.cli.guard import guarded

TEMPLATE = """\
# A study: one audit's full configuration. Run it with: memberwise audit {file}
# Every key can also be given on the command line: --set training.epochs=40

queries = "none"          # "mirror" or "shift18": ask about augmented images too (stronger, slower)
# answer = [ {{ name = "rounding", digits = 2 }} ]   # output defences, in order; memberwise list defences

[data]
source = "digits"         # a name (memberwise list data), a file (.npz, .csv, .parquet) or module:function
# label = "diagnosis"     # column of the class, for tables
# group = "sex"           # report leakage by subgroup
# unit = "patient"        # one person's rows stay on one side
# drop = ["patient_id"]   # columns that are no features; or features = [...]: those that alone are
members = 600             # audited records the target trains on: a number or a file
nonmembers = 600          # audited records it never sees
population = 500          # nobody trains on these: the attacker's sample of the world
# background = 1000       # the target and every shadow model train on these; not audited
# validation = 200        # nobody trains on these: for early stopping
# coins = true            # each membership in the target is a fair coin: then one run bounds epsilon

# [canaries]              # the worst case: records made to be remembered, audited in place of the others
# count = 500
# kind = "mislabelled"    # "out-of-distribution" (source = "NAME or FILE", else noise), "near-duplicate"

# [target]                # a model that is trained already
# file = "model.safetensors"
# train_rows = "rows.txt" # all rows it saw
# endpoint = "http://127.0.0.1:8080"   # or where it is served; then
# protocol = "v2"         # "v1", "mlflow", or "custom" with endpoint = "file.py:ask"
# max_queries = 5000      # ask about so many records at most
# policy = "policy.toml"  # the server's: shadow models answer by it
# token_env = "TOKEN"     # environment variable with a bearer token

# [outputs]               # or only its saved answers
# file = "answers.npz"
# shadow_file = "shadow_answers.npz"

[model]
name = "mlp"              # memberwise list models, or file.py:function
hidden = [200, 200]
dropout = 0.0

[training]                # the same recipe for the target and every shadow model
epochs = 20
batch_size = 64
optimizer = "sgd"         # "adam", "adamw"
learning_rate = 0.05
momentum = 0.9
nesterov = false
weight_decay = 0.0
schedule = "cosine"       # "constant", "one-cycle", "step" (with steps = [10, 15] and step_factor = 0.1)
warmup = 0                # epochs
label_smoothing = 0.0
augment = []              # images: "flip", "crop", "cutout", "mixup", in this order; tables: "mixup"
# clip_norm = 1.0
# patience = 5            # stop early, after so many epochs without a better loss on data.validation

[shadow]
count = 64                # in pairs; more make the attack stronger
data = "halves"           # of the audited records; "auxiliary" for an attacker who has none of them

# [engine]                # where shadow models train; no figure depends on it
# name = "ray"            # or "slurm", "local"; docs/cluster.md
# ray = {{ address = "auto" }}   # without it: a Ray of this machine

[attacks]
use = ["default"]         # memberwise list attacks
# headline = "lira-online-fixed"   # the attack the verdict is about
# temperature = "tuned"   # of p_y in base, informia, rmia-*; 2 without it, 1: as answered
# reveal = 0.5            # share of records whose membership the attacker is told (nasr); not evaluated
# transfer = "runs/other" # finished run on other data (ml-leaks-2)
# boundary_queries = 1000 # label-only-boundary: questions a record ...
# boundary_records = 400  # ... about so many records

[statistics]
fpr = "auto"              # or false-positive rates: [0.01, 0.001]
confidence = 0.95
delta = 1e-5
# targets = 8             # so many models in the target's place in turn
# turns = "all"           # shadow models in turn, attacks that learn included; "none", or so many

[gate]
rules = []                # for example ["tpr@0.01>0.05"]: fail where 5 % of members are found at 1 % false alarms

[run]
seed = 0
# out = "runs/first"
device = "auto"           # "cpu", "cuda"
"""


def init(
    file: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("study.toml"),
    debug: Annotated[bool, typer.Option("--debug", help="Tracebacks.")] = False,
) -> None:
    """Write a commented study to start from."""
    with guarded(debug):
        from memberwise.errors import StudyError

        if file.exists():
            raise StudyError(f"{file} exists already", fix="name another file, or delete it")
        file.write_text(TEMPLATE.format(file=file), encoding="utf-8")
        typer.echo(f"{file} written; run it with: memberwise audit {file}")
