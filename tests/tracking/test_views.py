"""The view in which MLflow shows the rounds."""

from pipeline.tracking import views


def state(**options) -> dict:
    text = views.view(["benchmark_field_accuracy", "test_accuracy"], at=0, **{"costs": False} | options)
    assert len(text) < 20_000  # what a tag may hold
    return views.state_of(text)


def test_the_table_has_inputs_accuracies_costs_and_verdict_side_by_side():
    columns = [name.split("`")[1] for name in state()["selectedColumns"]]
    assert columns == [
        "round", "parent", "preset", "classes", "images", "test_accuracy", "test_images", "benchmark_field_accuracy",
        "benchmark_field_images", "epochs", "minutes", "gate", "Models",
    ]  # fmt: skip
    assert "metrics.`cost`" in state(costs=True)["selectedColumns"]


def test_accuracy_over_rounds_comes_first_and_every_metric_has_one_chart():
    charts = state()["compareRunCharts"]
    assert charts[0]["selectedMetricKeys"] == ["test_accuracy", "benchmark_field_accuracy"]
    assert state()["compareRunSections"][0]["name"] == "Accuracy over rounds"
    drawn = {metric for chart in charts for metric in chart["selectedMetricKeys"]}
    assert {chart["metricKey"] for chart in charts if len(chart["selectedMetricKeys"]) == 1} == drawn
    assert len({chart["uuid"] for chart in charts}) == len(charts)


def test_many_benchmarks_fit_into_a_tag():
    text = views.view([f"benchmark_field-of-the-year-{year}_accuracy" for year in range(2000, 2015)], at=0, costs=True)
    assert len(text) < 20_000
