"""The onnxruntime adapter: providers, threads, signatures, binding and error translation."""

# onnxruntime ships no type information; what passes this adapter is typed by hand.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

# onnxruntime reports its use to its maker unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime
from onnxruntime.capi import (
    onnxruntime_pybind11_state as onnxruntime_state,  # pyright: ignore[reportAttributeAccessIssue]  # a compiled module
)

from service.arrays import FloatArray
from service.bundle.graph_check import check_graph
from service.bundle.manifest import GraphSignature
from service.errors import BundleError, InferenceFailed, InvalidGraph, ProviderUnavailable
from service.inference.processors import usable_processors

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
"""onnxruntime's names by ours."""
_ARENAS = {"cpu": "cpu:0", "cuda": "gpu:0"}

# ONNX: one Identity node from "x" to "y", float, shape (1,), opset 18, IR version 8.
_IDENTITY_GRAPH = bytes.fromhex(
    "080812003a370a100a017812017922084964656e746974791201675a0f0a0178120a0a0808011204"
    "0a020801620f0a0179120a0a08080112040a02080142040a001012"
)

# onnxruntime's exceptions share no base class of their own.
ONNXRUNTIME_ERRORS: tuple[type[Exception], ...] = (
    *(
        error
        for error in vars(onnxruntime_state).values()
        if isinstance(error, type) and issubclass(error, Exception)
    ),
    RuntimeError,
    ValueError,
    TypeError,
)


@dataclass(frozen=True)
class SessionOptions:
    """How graphs are run.

    Attributes:
        provider: ``cpu`` or ``cuda``; a graph never falls back to another one by itself.
        threads: Threads one run may use.
        tf32: Whether CUDA may round the factors of float32 products to 10 mantissa bits: faster,
            and other numbers than the CPU's.
        bound: Whether a model's graphs run on memory that is bound to them: on every provider but
            the CPU's, unless it is said here.
    """

    provider: str = "cpu"
    threads: int = field(default_factory=usable_processors)
    tf32: bool = False
    bound: bool | None = None

    @property
    def runs_bound(self) -> bool:
        """Whether a model's graphs run on memory that is bound to them."""
        return self.provider != "cpu" if self.bound is None else self.bound


class RunStop:
    """Ends the run that it is given to, and no other; from any thread, before or while it runs.

    onnxruntime looks at it between two nodes: a node that has begun goes on to its end.

    Attributes:
        options: onnxruntime's options of the run.
    """

    __slots__ = ("options",)

    def __init__(self) -> None:
        """Let the run go on."""
        self.options: Any = onnxruntime.RunOptions()

    def stop(self) -> None:
        """End the run, which then fails, before its next node."""
        self.options.terminate = True


class Runnable(Protocol):
    """What rows can be sent through: a session, or several that pass on what they compute."""

    def run(self, *inputs: FloatArray, stop: "RunStop | None" = None) -> tuple[FloatArray, ...]:
        """Send rows through; see ``Session.run``."""
        ...

    def run_and_release_memory(self, *inputs: FloatArray) -> tuple[FloatArray, ...]:
        """Send rows through, then give back what larger runs left; see ``Session``."""
        ...

    def stop(self) -> None:
        """End what runs, for good; see ``Session.stop``."""
        ...


class Buffer(Protocol):
    """A place in memory that a graph can be bound to.

    Attributes:
        value: onnxruntime's handle.
    """

    value: Any


class Session:
    """One graph, ready to run on one provider.

    Safe to call from several threads at once: onnxruntime's sessions are, and release the GIL.

    Attributes:
        signature: Names and shapes of inputs and outputs.
        provider: The provider that was asked for, and took the graph.
        nodes: How many of the graph's nodes run on which provider. CUDA leaves to the CPU what it
            has no kernel for.
        tf32: Whether products are rounded as in ``SessionOptions``; never on the CPU.
    """

    def __init__(
        self, graph: bytes, signature: GraphSignature, options: SessionOptions | None = None
    ) -> None:
        """Load a graph and prove that it is the one its signature describes.

        Args:
            graph: ONNX bytes.
            signature: Names and shapes of inputs and outputs, without the batch axis.
            options: Providers and threads.

        Raises:
            UnsafeGraph: The graph has something that graphs of bundles may not have.
            InvalidGraph: onnxruntime rejects the graph, or it has another signature.
        """
        options = options or SessionOptions()
        self.signature = signature
        self.provider = options.provider
        self.tf32 = options.tf32 and options.provider == "cuda"
        self._session = _open_session(graph, signature.file, options)
        _check_signature(self._session, signature)
        self.nodes = _nodes_by_provider(self._session)
        self._input_names = [tensor.name for tensor in signature.inputs]
        self._output_names = [tensor.name for tensor in signature.outputs]
        self._run_options: Any = onnxruntime.RunOptions()

    def run(self, *inputs: FloatArray, stop: RunStop | None = None) -> tuple[FloatArray, ...]:
        """Run the graph once.

        Args:
            inputs: Float32 arrays in the signature's order, each of shape (rows, *row shape),
                all with the same number of rows.
            stop: Ends this run from another thread.

        Returns:
            The outputs in the signature's order, each with ``rows`` as first axis.

        Raises:
            InferenceFailed: onnxruntime failed, the run was ended, or the graph does not give one
                row per row.
        """
        return self._run(inputs, _options_of(self._run_options, stop))

    def run_and_release_memory(self, *inputs: FloatArray) -> tuple[FloatArray, ...]:
        """Run the graph once, then give back what larger runs before had left with onnxruntime.

        Arguments, result and errors as ``run``.
        """
        options: Any = onnxruntime.RunOptions()
        arena = _ARENAS[self.provider]
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", arena)
        return self._run(inputs, options)

    def stop(self) -> None:
        """End every run before its next node; it fails, and so does each later one.

        For shutdown, which would otherwise wait for runs whose results are not needed.
        """
        self._run_options.terminate = True

    def bind(
        self,
        inputs: Sequence["Buffer"],
        outputs: Sequence["Buffer"],
    ) -> "Binding":
        """Bind inputs and outputs, in the signature's order, to fixed places in memory.

        Raises:
            InferenceFailed: onnxruntime rejects them.
        """
        with translated_errors(self.signature.file):
            binding = self._session.io_binding()
            for name, buffer in zip(self._input_names, inputs, strict=True):
                binding.bind_ortvalue_input(name, buffer.value)
            for name, buffer in zip(self._output_names, outputs, strict=True):
                binding.bind_ortvalue_output(name, buffer.value)
        return Binding(self._session, binding, self._run_options, self.signature.file)

    def _run(self, inputs: Sequence[FloatArray], options: Any) -> tuple[FloatArray, ...]:
        try:
            outputs: list[FloatArray] = self._session.run(
                self._output_names, dict(zip(self._input_names, inputs, strict=True)), options
            )
        except ONNXRUNTIME_ERRORS as error:
            raise InferenceFailed(f"{self.signature.file}: {type(error).__name__}") from error
        rows = inputs[0].shape[:1]
        for output in outputs:
            if output.shape[:1] != rows:
                raise InferenceFailed(f"{self.signature.file} does not give one row per row")
        return tuple(outputs)


class Binding:
    """A graph whose inputs and outputs lie at fixed places in memory."""

    def __init__(self, session: Any, binding: Any, run_options: Any, file_name: str) -> None:
        """Made by ``Session.bind``."""
        self._session = session
        self._binding = binding
        self._run_options = run_options
        self._file_name = file_name

    def run(self, stop: RunStop | None = None) -> None:
        """Compute the outputs from the inputs; all is done when this returns.

        Args:
            stop: Ends this run from another thread.

        Raises:
            InferenceFailed: onnxruntime failed, the run was ended, or the outputs have other shapes
                than bound.
        """
        options = _options_of(self._run_options, stop)
        with translated_errors(self._file_name):
            self._session.run_with_iobinding(self._binding, options)


def _options_of(every_run: Any, stop: RunStop | None) -> Any:
    """Return the options of one run; once all runs have been ended, those that end it too."""
    return every_run if stop is None or every_run.terminate else stop.options


@contextmanager
def translated_errors(what: str) -> Generator[None]:
    """Turn what onnxruntime raises into ``InferenceFailed``, whose message begins with ``what``."""
    try:
        yield
    except ONNXRUNTIME_ERRORS as error:
        raise InferenceFailed(f"{what}: {type(error).__name__}") from error


def onnxruntime_version() -> str:
    """Return the version of onnxruntime that runs the graphs."""
    return onnxruntime.__version__


def available_providers() -> list[str]:
    """Name the providers of this onnxruntime build, by the names the settings use."""
    built_in = onnxruntime.get_available_providers()
    return [name for name, full_name in PROVIDERS.items() if full_name in built_in]


def choose_provider(order: Sequence[str]) -> str:
    """Choose the first provider of an order that really works on this machine.

    Every provider but the CPU's is tried with a graph of one node, because one that is in the
    build but lacks its libraries or its device shows only when a session is opened.

    Args:
        order: ``cuda``, ``cpu`` or ``auto`` (CUDA where it works, else the CPU), by preference.

    Returns:
        The name to give to ``SessionOptions``.

    Raises:
        ProviderUnavailable: A name is unknown, or none of the order works here.
    """
    expanded: list[str] = []
    for name in order:
        expanded.extend(["cuda", "cpu"] if name == "auto" else [name])
    if unknown := [name for name in expanded if name not in PROVIDERS]:
        raise ProviderUnavailable(
            f"unknown provider {unknown[0]!r}; there are {', '.join(PROVIDERS)} and auto"
        )
    built_in = available_providers()
    for name in expanded:
        if name == "cpu" or (name in built_in and _opens(name)):
            return name
    raise ProviderUnavailable(
        f"none of the providers {', '.join(order)} works here; this onnxruntime build has"
        f" {', '.join(built_in)}"
    )


def _opens(provider: str) -> bool:
    if provider == "cuda":
        # CUDA's libraries from pip lie in site-packages, where the loader does not look.
        onnxruntime.preload_dlls()
    try:
        _open_session(_IDENTITY_GRAPH, "probe", SessionOptions(provider, threads=1))
    except BundleError:
        return False
    return True


def _open_session(graph: bytes, file_name: str, options: SessionOptions) -> Any:
    check_graph(graph, file_name)
    settings: Any = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 4
    # Threads that spin between requests burn the processors they wait on.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    # Otherwise bytes that look like its own format, which was not checked, are read as such.
    settings.add_session_config_entry("session.load_model_format", "ONNX")
    settings.use_deterministic_compute = options.provider != "cpu"
    provider = PROVIDERS[options.provider]
    try:
        session: Any = onnxruntime.InferenceSession(
            graph,
            sess_options=settings,
            providers=[(provider, _provider_options(options))],
            # Otherwise a session whose provider fails silently continues on the CPU.
            enable_fallback=0,
        )
    except ONNXRUNTIME_ERRORS as error:
        raise InvalidGraph(
            f"{file_name} ({len(graph)} bytes) is refused by onnxruntime: {type(error).__name__}"
        ) from error
    # onnxruntime leaves out a provider whose libraries are missing with no more than a log line.
    if session.get_providers()[0] != provider:
        raise InvalidGraph(f"{file_name} cannot be run on {options.provider}")
    return session


def _provider_options(options: SessionOptions) -> dict[str, str]:
    if options.provider == "cpu":
        return {}
    return {
        "use_tf32": str(int(options.tf32)),
        # By a convolution's sizes alone. Trying algorithms out takes long at every new size, and
        # chooses by the clock: the same seed would give other bytes after a restart.
        "cudnn_conv_algo_search": "HEURISTIC",
        "arena_extend_strategy": "kSameAsRequested",
    }


def _nodes_by_provider(session: Any) -> dict[str, int]:
    parts: Sequence[Any] = session.get_provider_graph_assignment_info()
    nodes = {
        name: sum(len(part.get_nodes()) for part in parts if part.ep_name == full_name)
        for name, full_name in PROVIDERS.items()
    }
    return {name: count for name, count in nodes.items() if count}


def _check_signature(session: Any, signature: GraphSignature) -> None:
    for kind, nodes, specs in (
        ("input", session.get_inputs(), signature.inputs),
        ("output", session.get_outputs(), signature.outputs),
    ):
        found = [(node.name, node.type, tuple(node.shape[1:])) for node in nodes]
        expected = [(spec.name, "tensor(float)", spec.shape) for spec in specs]
        if sorted(found, key=str) != sorted(expected, key=str):
            raise InvalidGraph(
                f"{signature.file} has the {kind}s {_describe(found)}, the manifest says"
                f" {_describe(expected)}"
            )
        if any(not node.shape or isinstance(node.shape[0], int) for node in nodes):
            raise InvalidGraph(f"{signature.file} has an {kind} without a dynamic batch axis")


def _describe(tensors: Sequence[tuple[str, str, tuple[Any, ...]]]) -> str:
    return ", ".join(f"{name} {shape} {dtype}" for name, dtype, shape in tensors)
