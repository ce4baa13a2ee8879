from pipeline.demo import served_week
from pipeline.serving.reports import log
from pipeline.serving.reports.periods import DAY
from pipeline.serving.store.opening import open_store


def test_every_transaction_is_read_once_whatever_the_chunks(url, monkeypatch):
    monkeypatch.setattr(log, "CHUNK", 70)
    engine = open_store(url)
    rows = served_week.make(pictures=400).transactions
    served_week.write(engine, rows, "transactions")
    read = log.Log(engine).transactions()
    assert read["at"].tolist() == rows["at"].tolist()
    assert read["client"].astype(str).tolist() == rows["client"].tolist()
    assert read["shown"].tolist() == rows["shown"].astype(bool).tolist()
    day = log.Log(engine, since=served_week.MONDAY + DAY, until=served_week.MONDAY + 2 * DAY).transactions()
    assert len(day) == ((rows["at"] - served_week.MONDAY) // DAY == 1).sum()
    engine.dispose()
