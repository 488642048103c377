"""Kinds of torch's layers, by their public classes; and by what torch derives these from, where it still does."""

from __future__ import annotations

from types import ModuleType

from torch import nn

LayerKinds = tuple[type[nn.Module], ...]


def kinds_of(place: ModuleType, base: str, *public: type[nn.Module]) -> LayerKinds:
    """The public classes, and their private base class, of which users' own layers may be; without it these alone."""
    private = getattr(place, base, None)
    return public if private is None else (*public, private)


BATCH_NORMS = kinds_of(
    nn.modules.batchnorm, "_BatchNorm", nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm
)
INSTANCE_NORMS = kinds_of(
    nn.modules.instancenorm, "_InstanceNorm", nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d
)
CONVOLUTIONS = kinds_of(
    nn.modules.conv,
    "_ConvNd",
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)
DROPOUTS = kinds_of(
    nn.modules.dropout,
    "_DropoutNd",
    *(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d),
    *(nn.AlphaDropout, nn.FeatureAlphaDropout),
)
