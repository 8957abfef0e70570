"""Export of a trained model: scorers are fitted, every graph is converted and compared."""

from dataclasses import replace

from training.export.code_density import code_density
from training.export.conversion import export_graph
from training.export.exported_model import ExportedModel
from training.export.fitted_scorer import fit_scorers
from training.export.graph_functions import GraphFunction, graph_functions
from training.export.graph_runner import GraphRunner
from training.export.parity import check_parity
from training.fitting.trained_model import TrainedModel


def export_model(model: TrainedModel) -> ExportedModel:
    """Fit code density and scorers, export every graph, and compare each with Keras.

    Raises:
        RecipeError: The recipe names an unknown score.
        ExportFailed: A Keras function cannot be converted.
        ParityMismatch: A graph does not compute what Keras computes.
    """
    functions, exported = convert_model(model)
    validation = model.split.validation
    inputs = exported.graph_inputs(validation.rows, validation.conditions)
    deviations = [
        check_parity(graph, exported.runner.sessions[graph.name], *inputs[graph.name])
        for graph in functions
    ]
    return replace(exported, parity_error=max(deviations))


def convert_model(model: TrainedModel) -> tuple[list[GraphFunction], ExportedModel]:
    """Fit code density and scorers, and export every graph, without a comparison.

    Returns:
        The Keras functions, and their graphs with a parity error of 0.

    Raises:
        RecipeError: The recipe names an unknown score.
        ExportFailed: A Keras function cannot be converted.
    """
    density = code_density(model)
    functions = graph_functions(
        model.autoencoder,
        model.scaling,
        model.data.input.shape,
        fit_scorers(model, density.mixture),
    )
    graphs = {graph.name: (graph.signature, export_graph(graph)) for graph in functions}
    return functions, ExportedModel(graphs, density, GraphRunner(graphs), parity_error=0.0)
