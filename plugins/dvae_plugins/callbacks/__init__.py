"""Callbacks: what listens to a run."""

from __future__ import annotations

from dvae_core import Callback, hookimpl
from dvae_plugins.callbacks.animation import Animation
from dvae_plugins.callbacks.early_stopping import EarlyStopping
from dvae_plugins.callbacks.mlflow_tracking import MLflow
from dvae_plugins.callbacks.tensorboard import TensorBoard
from dvae_plugins.callbacks.through_trackio import Trackio
from dvae_plugins.callbacks.weights_and_biases import WandB


@hookimpl
def register_callbacks() -> list[type[Callback]]:
    return [Animation, EarlyStopping, MLflow, TensorBoard, Trackio, WandB]
