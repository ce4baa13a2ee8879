import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from pipeline.errors import DataError
from pipeline.files import write_csv, write_table
from pipeline.library.tables import read_csv
from pipeline.serving import audits, evaluations
from pipeline.serving.store import schema
from pipeline.serving.store.opening import open_store
from pipeline.serving.verdicts import AUDIT
from scripts.promises import served_week

AT = served_week.MONDAY


@pytest.fixture
def engine(url):
    made = open_store(url)
    yield made
    made.dispose()


def served(engine: sa.Engine, pictures: int = 400, seed: int = 0) -> pd.DataFrame:
    week = served_week.make(pictures=pictures, seed=seed)
    served_week.write(engine, week.transactions, "transactions")
    return week.transactions


def told_releases(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.execute(sa.insert(schema.releases), served_week.releases(served_week.Planted()))


def drawn(engine: sa.Engine) -> pd.DataFrame:
    with engine.connect() as connection:
        return pd.read_sql(sa.select(schema.audits), connection)


def said(engine: sa.Engine) -> pd.DataFrame:
    with engine.connect() as connection:
        return pd.read_sql(sa.select(schema.evaluations), connection)


def test_the_recorded_chance_is_that_of_the_draw(engine):
    rows = served(engine)
    draw = audits.draw(engine, 60, at=AT)
    assert draw.population == (rows["status"] == 200).sum()
    for _, own in drawn(engine).groupby("stratum"):
        population = draw.strata.set_index("stratum").loc[own["stratum"].iloc[0], "population"]
        assert own["probability"].to_numpy() == pytest.approx(len(own) / population)


def test_no_transaction_is_in_two_draws(engine):
    served(engine)
    first = audits.draw(engine, 60, at=AT)
    assert audits.draw(engine, 60, at=AT).drawn == 0
    served(engine, pictures=100, seed=1)
    second = audits.draw(engine, 20, at=AT + 1)
    assert second.population < first.population
    assert len(drawn(engine)) == first.drawn + second.drawn


def test_a_refused_or_lost_picture_is_not_drawn(engine):
    rows = served(engine)
    with engine.begin() as connection:
        table = schema.transactions
        connection.execute(sa.update(table).where(table.c.id > 100).values(path=""))
    answered = rows.head(100)
    assert audits.draw(engine, 1000, at=AT, dry_run=True).drawn == (answered["status"] == 200).sum()


def test_a_picture_that_the_library_has_can_be_drawn(engine):
    rows = served(engine, pictures=50)
    with engine.begin() as connection:
        connection.execute(sa.update(schema.transactions).values(path=""))
    assert audits.draw(engine, 10, at=AT).drawn == 0
    known = rows.loc[rows["status"] == 200, "sha256"].head(7).tolist()
    assert audits.draw(engine, 10, at=AT, known=known).population == 7


def test_a_dry_run_draws_nothing(engine):
    served(engine, pictures=50)
    assert audits.draw(engine, 20, at=AT, dry_run=True).drawn == 20
    assert drawn(engine).empty


def test_what_the_service_has_kept_stands_for_what_it_has_not_and_the_library_for_itself(engine):
    rows = served(engine, pictures=600)
    answered = rows[rows["status"] == 200]
    library, sent = answered.iloc[::3], answered.drop(answered.index[::3])
    kept = sent.iloc[::10]
    with engine.begin() as connection:
        table = schema.transactions
        lost = answered.drop(kept.index)
        for request, position in zip(lost["request_id"], lost["position"], strict=True):
            wanted = (table.c.request_id == request) & (table.c.position == position)
            connection.execute(sa.update(table).where(wanted).values(path=""))
    draw = audits.draw(engine, 60, at=AT, known=library["sha256"].tolist())
    of_library = draw.strata["stratum"].str.endswith(audits.AT_HAND)
    assert draw.strata.loc[of_library, "population"].sum() == len(library)
    assert draw.strata.loc[~of_library, "population"].sum() + draw.uncovered == len(sent)
    assert (draw.strata.loc[~of_library, "drawn"].sum()) <= len(kept)
    probability = drawn(engine).set_index("stratum")["probability"]
    assert (1 / probability).groupby(level=0).sum().sum() == pytest.approx(draw.population)


def test_what_nothing_stands_for_is_counted(engine):
    rows = served(engine, pictures=300)
    with engine.begin() as connection:
        connection.execute(sa.update(schema.transactions).values(path=""))
    answered = rows[rows["status"] == 200]
    draw = audits.draw(engine, 20, at=AT, known=answered["sha256"].head(50).tolist())
    assert (draw.population, draw.uncovered) == (50, len(answered) - 50)


def test_unsure_answers_are_drawn_more_often_and_none_is_left_out():
    found = audits.allocate(np.array([1000, 1000, 3]), np.array([0.5, 0.99, 0.7]), 100)
    assert found.sum() == 100
    assert found[0] > found[1] >= audits.LEAST
    assert found[2] == 3


def test_a_draw_smaller_than_the_strata_still_looks_into_each():
    assert audits.allocate(np.array([100, 100, 100]), np.array([0.5, 0.5, 0.5]), 2).tolist() == [1, 1, 1]


def test_more_than_there_is_draws_all():
    assert audits.allocate(np.array([4, 6]), np.array([0.5, 0.9]), 100).tolist() == [4, 6]


def test_a_filled_sheet_counts_for_the_audit(engine, tmp_path):
    served(engine)
    audits.draw(engine, 40, at=AT)
    sheet = tmp_path / "audit.csv"
    assert evaluations.write_sheet(sheet, engine, kept=tmp_path, index=tmp_path, folders={}) == 40
    table = read_csv(sheet, evaluations.REQUIRED)
    table.loc[table.index[:30], "verdict"] = "right"
    write_csv(table, sheet)
    assert evaluations.take_sheet(sheet, engine, by="ada", at=AT) == (30, 0)
    assert said(engine)["probability"].notna().all()
    assert audits.waiting(engine) == audits.Waiting(10, len(audits.queue(engine)))


def test_each_row_of_a_sheet_has_the_image_and_a_link_to_it(engine, tmp_path):
    served(engine)
    audits.draw(engine, 40, at=AT)
    rows = audits.queue(engine)
    pool = pd.DataFrame({"sha256": rows["sha256"], "image": [f"pool/{n}.jpg" for n in range(len(rows))]})
    write_table(pool, tmp_path / "pool.parquet")
    with engine.begin() as connection:
        kept = connection.scalar(sa.select(schema.transactions.c.path).where(schema.transactions.c.path != "").limit(1))
        connection.execute(sa.update(schema.transactions).values(path=""))
        first = schema.transactions.c.request_id == rows["request_id"][0]
        connection.execute(sa.update(schema.transactions).where(first).values(path=kept or "ab/cd.jpg"))
    sheet, folders = tmp_path / "audit.csv", {"pool": tmp_path / "pool"}
    evaluations.write_sheet(sheet, engine, kept=tmp_path / "kept", index=tmp_path, folders=folders)
    table = read_csv(sheet, evaluations.REQUIRED)
    assert not (table["path"] == "").any()
    of_pool = table[table["path"].str.startswith("pool/")]
    assert len(of_pool) == len(table) - 1
    assert (of_pool["link"] == f"{tmp_path.as_uri()}/pool/" + of_pool["path"].str.removeprefix("pool/")).all()
    assert table["link"].str.startswith(f"{tmp_path.as_uri()}/").all()


def test_a_content_that_was_drawn_several_times_is_judged_once(engine):
    served(engine)
    with engine.begin() as connection:
        table = schema.transactions
        connection.execute(sa.update(table).values(sha256="one", label="lion").where(table.c.id <= 200))
    draw = audits.draw(engine, 100, at=AT)
    rows = audits.queue(engine)
    assert len(rows) == draw.independent < draw.drawn == 100
    assert audits.waiting(engine) == audits.Waiting(100, len(rows))
    row = rows[rows["sha256"] == "one"].iloc[0]
    one = {"request_id": row["request_id"], "position": str(row["position"]), "verdict": "right", "source": AUDIT}
    assert evaluations.record(engine, [one], by="ada", at=AT) == 1
    assert len(said(engine)) == 100 - len(rows) + 1
    assert said(engine)["probability"].notna().all()
    assert audits.waiting(engine) == audits.Waiting(len(rows) - 1, len(rows) - 1)
    evaluations.record(engine, [one | {"verdict": "unusable"}], by="ada", at=AT + 1)
    latest = said(engine).sort_values("at").drop_duplicates(["request_id", "position"], keep="last")
    assert set(latest["verdict"]) == {"unusable"}


def test_what_somebody_else_judged_of_a_content_is_not_overruled(engine):
    served(engine)
    with engine.begin() as connection:
        connection.execute(sa.update(schema.transactions).values(sha256="one", label="lion"))
    audits.draw(engine, 3, at=AT)
    first, *_ = drawn(engine).astype(str).to_dict("records")
    key = {"request_id": first["request_id"], "position": first["position"]}
    evaluations.record(engine, [key | {"verdict": "right", "source": AUDIT}], by="ada", at=AT)
    number = len(said(engine))
    evaluations.record(engine, [key | {"verdict": "unusable", "source": AUDIT}], by="bob", at=AT + 1)
    assert len(said(engine)) == number + 1


def test_a_chosen_verdict_counts_for_its_own_transaction_only(engine):
    served(engine)
    with engine.begin() as connection:
        connection.execute(sa.update(schema.transactions).values(sha256="one", label="lion"))
    audits.draw(engine, 10, at=AT)
    first = drawn(engine).astype(str).iloc[0]
    one = {"request_id": first["request_id"], "position": first["position"], "verdict": "right"}
    evaluations.record(engine, [one], by="ada", at=AT)
    assert len(said(engine)) == 1


def test_a_transaction_that_somebody_chose_has_no_chance(engine, tmp_path):
    rows = served(engine)
    audits.draw(engine, 40, at=AT)
    key = rows.loc[rows["status"] == 200, ["request_id", "position"]].astype(str).agg(tuple, axis=1)
    taken = set(drawn(engine)[["request_id", "position"]].astype(str).agg(tuple, axis=1))
    request, position = next(one for one in key if one not in taken)
    sheet = tmp_path / "mine.csv"
    write_csv(pd.DataFrame([{"request_id": request, "position": position, "verdict": "unusable"}]), sheet)
    assert evaluations.take_sheet(sheet, engine, by="ada", at=AT) == (0, 1)
    assert said(engine)["probability"].isna().all()


@pytest.mark.parametrize(
    ("verdict", "truth", "says"),
    [
        ("rigth", "", "did you mean 'right'"),
        ("wrong", "okapi", "not-in-classes"),
        ("not-in-classes", "lion", "the model has the class 'lion'"),
        ("unusable", "lion", "'unusable' names the class"),
        ("wrong", "SAID", "the model said"),
        ("right", "okapi", "leave the class out"),
    ],
)
def test_a_verdict_that_contradicts_itself_is_refused_and_nothing_is_recorded(engine, verdict, truth, says):
    told_releases(engine)
    rows = served(engine)
    row = rows[rows["status"] == 200].iloc[0]
    right = {"request_id": row["request_id"], "position": str(row["position"]), "verdict": "right"}
    wrong = right | {"verdict": verdict, "truth": truth.replace("SAID", row["label"])}
    with pytest.raises(DataError) as refused:
        evaluations.record(engine, [right, wrong], by="ada", at=AT)
    assert says in str(refused.value)
    assert said(engine).empty


def test_a_transaction_that_was_not_drawn_cannot_pass_for_one(engine):
    row = served(engine).query("status == 200").iloc[0]
    one = {"request_id": row["request_id"], "position": str(row["position"]), "verdict": "right", "source": AUDIT}
    with pytest.raises(DataError, match="not drawn"):
        evaluations.record(engine, [one], by="ada", at=AT)


def test_a_wrong_line_of_a_sheet_is_named(engine, tmp_path):
    served(engine, pictures=20)
    sheet = tmp_path / "audit.csv"
    sheet.write_text("request_id,position,verdict\nnobody,0,\nnobody,0,right\n")
    with pytest.raises(DataError) as refused:
        evaluations.take_sheet(sheet, engine, by="ada", at=AT)
    assert "row 3" in str(refused.value)
