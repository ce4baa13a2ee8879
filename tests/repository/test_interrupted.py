from pipeline.repository.interrupted import RWLOCK, repair_lock


def test_a_list_of_locks_that_a_kill_left_empty_is_removed_and_a_whole_one_stays(tmp_path):
    path = tmp_path / RWLOCK
    assert not repair_lock(tmp_path)
    path.parent.mkdir(parents=True)
    for left in (b"", b'{"read": {"data'):
        path.write_bytes(left)
        assert repair_lock(tmp_path)
        assert not path.exists()
    path.write_text('{"read": {}, "write": {}}')
    assert not repair_lock(tmp_path)
    assert path.exists()
