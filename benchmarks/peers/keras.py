"""Keras 3 on TensorFlow: the original experiment's way, with fit() on arrays."""

import os
from typing import Any

from benchmarks.peers.protocol import Stopwatch, Turn, serve

GUIDANCE = 20.0


def prepare(job: dict) -> Turn:
    os.environ.update(KERAS_BACKEND="tensorflow", TF_CPP_MIN_LOG_LEVEL="3")
    import keras
    import numpy as np
    import tensorflow as tf
    from keras import layers

    tf.config.threading.set_intra_op_parallelism_threads(job["threads"])
    tf.config.threading.set_inter_op_parallelism_threads(job["threads"])
    if job["precision"] == "bfloat16":
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    with np.load(job["data"]) as file:
        images = file["images"].transpose(0, 2, 3, 1).astype(np.float32) / 255
        labels = file["labels"]

    def leaky() -> Any:
        return layers.LeakyReLU(negative_slope=0.2)

    def conv() -> tuple[list, list]:
        encoder = [
            layers.Conv2D(32, 5), leaky(), layers.Conv2D(32, 5), leaky(),
            layers.MaxPooling2D(2), layers.Conv2D(32, 5), leaky(), layers.Flatten(),
        ]  # fmt: skip
        decoder = [
            layers.Dense(1152), leaky(), layers.Reshape((6, 6, 32)),
            layers.Conv2DTranspose(32, 5), leaky(), layers.UpSampling2D(2),
            layers.Conv2DTranspose(16, 5), leaky(), layers.Conv2DTranspose(1, 5), leaky(),
            layers.Conv2D(
                1, 1, bias_initializer=keras.initializers.Constant(-2.0),
                kernel_initializer=keras.initializers.Constant(-1.0),
            ),
        ]  # fmt: skip
        return encoder, decoder

    def mlp() -> tuple[list, list]:
        encoder = [
            layers.Flatten(), layers.Dense(512), leaky(), layers.Dense(256), leaky(),
        ]  # fmt: skip
        decoder = [
            layers.Dense(256), leaky(), layers.Dense(512), leaky(),
            layers.Dense(784), layers.Reshape((28, 28, 1)),
        ]  # fmt: skip
        return encoder, decoder

    class Model(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            encoder, decoder = {"conv": conv, "mlp": mlp}[job["model"]]()
            self.encoder, self.decoder = keras.Sequential(encoder), keras.Sequential(decoder)
            self.to_mean, self.to_log_var = layers.Dense(2), layers.Dense(2)
            self.head = keras.Sequential(
                [layers.Dense(10), leaky(), layers.Dense(10), leaky(), layers.Dense(10)]
            )

        def call(self, x: Any) -> Any:
            features = self.encoder(x)
            mean = tf.cast(self.to_mean(features), "float32")
            log_var = tf.cast(self.to_log_var(features), "float32")
            z = mean + tf.random.normal(tf.shape(mean)) * tf.exp(0.5 * log_var)
            decoded = tf.cast(self.decoder(z), "float32")
            return decoded, mean, log_var, tf.cast(self.head(z), "float32")

        def compute_loss(self, x: Any, y: Any, y_pred: Any, *_: Any, **__: Any) -> Any:
            decoded, mean, log_var, logits = y_pred
            x = tf.cast(x, "float32")
            error = tf.reduce_sum(tf.square(tf.sigmoid(decoded) - x), axis=(1, 2, 3))
            kl = -0.5 * tf.reduce_sum(1 + log_var - tf.abs(mean) - tf.exp(log_var), axis=1)
            wrong = tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)
            return tf.reduce_mean(error + 0.5 * kl + GUIDANCE * wrong)

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.watch = Stopwatch()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.found = self.watch.stop(len(images), float(logs["loss"]))

    def turn() -> dict:
        keras.utils.clear_session()
        model, clock = Model(), Clock()
        wanted = job["optimizer"]
        if wanted["name"] == "RMSprop":
            optimizer = keras.optimizers.RMSprop(
                wanted["lr"], rho=wanted["alpha"], epsilon=wanted["eps"]
            )
        else:
            optimizer = keras.optimizers.Adam(wanted["lr"])
        model.compile(optimizer)
        # The first step builds the graph: it is taken before the clock runs.
        model.fit(images[: job["batch"]], labels[: job["batch"]], job["batch"], verbose=0)
        model.fit(images, labels, job["batch"], verbose=0, callbacks=[clock])
        return clock.found

    return turn


serve(prepare, "keras", "tensorflow-cpu")
