"""The table of signals of a finished audit, read back from its run folder."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from memberwise.auditing.prepare import Inputs, prepare
from memberwise.auditing.resolve import resolve
from memberwise.errors import RunFolderError
from memberwise.report.result import Result
from memberwise.reproduce.bench import records_of
from memberwise.signals.codec import answers_of, join
from memberwise.signals.table import AuxiliaryTable, Signals
from memberwise.store.blocks import Arrays, BlockStore, block_name
from memberwise.study.reading import make_study


def kept_signals(result: Result, inputs: Inputs | None = None) -> Signals:
    """What target and shadow models answered about the audited records; who saw what follows from the study.

    ``given``: what the audit was given besides its study.

    Raises:
        RunFolderError: the blocks are not there, or harmed.
    """
    if result.folder is None:
        raise RunFolderError("this audit has no run folder, so no blocks to read")
    study = make_study(result.data["study"], "the audit's study")
    prepared = prepare(resolve(study), replace(inputs or Inputs(), dataset=records_of(study.data.source)))
    store = BlockStore(result.folder / "signals")
    blocks = [_block(store, name) for name in sorted(store.manifest)]
    assert sorted(store.manifest)[0] == block_name(0), "the first block holds the target"
    target, shadows = answers_of(blocks[0], "audited"), answers_of(join(blocks[1:]), "audited")
    assert target is not None
    assert shadows is not None
    roles = prepared.roles
    jobs = [prepared.shadow_job(k) for k in range(shadows.models)]
    auxiliary = answers_of(join(blocks[1:]), "auxiliary")
    seen = np.array([np.isin(roles.auxiliary, job.rows) for job in jobs], np.int8)
    return Signals(
        index=roles.audited,
        labels=prepared.dataset.y[roles.audited],
        target=target,
        shadows=shadows,
        trained_on=np.array([np.isin(roles.audited, job.rows) for job in jobs], np.int8),
        beside=None if auxiliary is None else AuxiliaryTable(auxiliary, prepared.dataset.y[roles.auxiliary], seen),
    )


def _block(store: BlockStore, name: str) -> Arrays:
    arrays, problem = store.load(name, store.manifest[name]["key"])
    if arrays is None:
        raise RunFolderError(f"{name} cannot be read", found=problem, where=str(store.folder))
    return arrays
