"""Architectures by name. Each takes the shape of one record and the number of classes, and answers logits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from memberwise.models.cnn import cnn
from memberwise.models.densenet import densenet_bc
from memberwise.models.estimators import estimator
from memberwise.models.layers import Shape, group_norm
from memberwise.models.memguard import memguard_mlp
from memberwise.models.mlp import logistic, mlp
from memberwise.models.nasr import alexnet, nasr_mlp
from memberwise.models.resnet import resnet9, resnet18, resnet20_group
from memberwise.models.shokri import shokri_cnn, shokri_mlp
from memberwise.models.wide_resnet import wide_resnet
from memberwise.registry import Registry
from memberwise.study.schema import ModelConfig
from memberwise.types.foreign import Estimator


@dataclass(frozen=True)
class Architecture:
    """A named architecture: what makes it, which records it takes ("any" or "images"), a line of description.

    Attributes:
        takes: the keys of ``[model]`` which it heeds beside ``name``.
        estimator: it makes an unfitted scikit-learn classifier, whose parameters are ``model.options``.
    """

    make: Callable[[ModelConfig, Shape, int], nn.Module | Estimator]
    records: str
    summary: str
    takes: tuple[str, ...] = ()
    estimator: bool = False


_BUILT_IN = {
    "mlp": Architecture(
        mlp, "any", "fully connected ReLU network (model.hidden, model.dropout)", ("hidden", "dropout")
    ),
    "logistic": Architecture(logistic, "any", "multinomial logistic regression"),
    "shokri-mlp": Architecture(shokri_mlp, "any", "one hidden layer of 128 Tanh (Shokri 2017)"),
    "shokri-cnn": Architecture(shokri_cnn, "images", "two convolutions and a dense layer of 128, Tanh (Shokri 2017)"),
    "nasr-purchase": Architecture(nasr_mlp, "any", "1024-512-256-128 Tanh (Nasr 2018, for Purchase-100)"),
    "nasr-texas": Architecture(nasr_mlp, "any", "1024-512-256-128 Tanh (Nasr 2018, for Texas-100)"),
    "memguard-location": Architecture(memguard_mlp, "any", "1024-512-256-128 ReLU (Jia 2019, for Location-30)"),
    "cnn": Architecture(cnn, "images", "two 3x3 convolutions and a dense layer (model.dropout)", ("dropout",)),
    "alexnet": Architecture(alexnet, "images", "AlexNet for 32x32 images (Nasr 2018)"),
    "resnet9": Architecture(resnet9, "images", "nine-layer residual network (Page 2018, DAWNBench)"),
    "resnet18": Architecture(resnet18, "images", "ResNet-18 with a 3x3 stem (He 2016)"),
    "wrn-16-4": Architecture(
        wide_resnet(16, 4), "images", "wide residual network (Zagoruyko 2016; model.dropout)", ("dropout",)
    ),
    "wrn-28-2": Architecture(
        wide_resnet(28, 2), "images", "wide residual network (Zagoruyko 2016; model.dropout)", ("dropout",)
    ),
    "densenet-bc-100-12": Architecture(densenet_bc(100, 12), "images", "DenseNet-BC (Huang 2017)"),
    "densenet-bc-22-12": Architecture(densenet_bc(22, 12), "images", "DenseNet-BC of depth 22 (weighted smoothing)"),
    "densenet-bc-22-12-group": Architecture(
        densenet_bc(22, 12, group_norm), "images", "the same with group normalisation, for dp-sgd"
    ),
    "resnet20-group": Architecture(resnet20_group, "images", "ResNet-20 with group normalisation (He 2016)"),
    "random-forest": Architecture(
        estimator("sklearn.ensemble", "RandomForestClassifier"), "any", "scikit-learn's random forest", estimator=True
    ),
    "extra-trees": Architecture(
        estimator("sklearn.ensemble", "ExtraTreesClassifier"), "any", "scikit-learn's extra trees", estimator=True
    ),
    "hist-gradient-boosting": Architecture(
        estimator("sklearn.ensemble", "HistGradientBoostingClassifier"),
        "any",
        "scikit-learn's gradient boosting on histograms",
        estimator=True,
    ),
    "xgboost": Architecture(
        estimator("xgboost", "XGBClassifier", n_jobs=1), "any", "XGBoost's gradient boosting", estimator=True
    ),
    "lightgbm": Architecture(
        estimator("lightgbm", "LGBMClassifier", n_jobs=1, verbosity=-1),
        "any",
        "LightGBM's gradient boosting",
        estimator=True,
    ),
    "catboost": Architecture(
        estimator("catboost", "CatBoostClassifier", thread_count=1, verbose=False, allow_writing_files=False),
        "any",
        "CatBoost's gradient boosting",
        estimator=True,
    ),
}
ARCHITECTURES: Registry[Architecture] = Registry(
    "architecture",
    _BUILT_IN.items(),
    form="file.py:function, or module:Class",
    group="memberwise.models",
    otherwise="memberwise list models shows them",
)
