"""The names of `mer_jax` for type checkers; tests/test_training_train.py holds this file and `__init__.py` together."""

from mer_jax import baselines as baselines
from mer_jax import blocks as blocks
from mer_jax import errors as errors
from mer_jax import evaluation as evaluation
from mer_jax import explain as explain
from mer_jax import models as models
from mer_jax import prediction as prediction
from mer_jax import protocols as protocols
from mer_jax import vision as vision
from mer_jax.config import Augmentation as Augmentation
from mer_jax.config import Experiment as Experiment
from mer_jax.config import Optimization as Optimization
from mer_jax.data.clips import Clips as Clips
from mer_jax.evaluation.predictions import read_predictions as read_predictions
from mer_jax.prediction.model import TrainedModel as TrainedModel
from mer_jax.prediction.model import load as load
from mer_jax.training.fit import Callbacks as Callbacks
from mer_jax.training.pretrained import Pretrained as Pretrained
from mer_jax.training.train import Results as Results
from mer_jax.training.train import train as train
from mer_jax.vision.options import VisionOptions as VisionOptions

__version__: str
