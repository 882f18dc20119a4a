"""What a run shows in a notebook, with a real kernel. Skipped where ipykernel and nbclient are not installed."""

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")

TRAIN = """
import reverie
config = reverie.Config.of(
    model=dict(deter=16, hidden=8, classes=4, depth=2, units=16, groups=4, blocks=4),
    behaviour=dict(imagination_length=3), replay=dict(batch=2, length=8),
    envs=2, train_ratio=4, log_every=0, dream_every=0,
)
agent = reverie.train("reverie/CatchVector-v0", config, steps=80)
"""


@pytest.mark.slow
def test_a_run_is_one_output_that_is_updated_in_place():
    cells = [nbformat.v4.new_code_cell(code) for code in (TRAIN, "agent", "config")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, timeout=500, kernel_name="python3").execute()
    trained, agent, config = (cell.outputs for cell in notebook.cells)
    texts = [output["data"]["text/plain"] for output in trained]
    assert [sum(word in text for text in texts) for word in ("observes", "step 8", "Compiling")] == [1, 1, 0]
    assert len(texts) <= 4  # what the run is, a warning about its train ratio, its progress, its end
    assert "parameters" in agent[0]["data"]["text/plain"]
    assert "Config.of(" in config[0]["data"]["text/plain"]
