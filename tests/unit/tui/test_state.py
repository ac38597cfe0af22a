"""The console's state: events and answers go in, facts come out."""

from __future__ import annotations

from msgspec.structs import replace

from boxy_core.errors import DaemonUnreachable
from boxy_core.models import Event, Stats, Status
from boxy_tui.state import HISTORY, Effect, Link, Order, State, matches, series
from tests.tui.fake_daemon import NOW, make_box


def state_with(*names: str) -> State:
    state = State()
    state.greeted(0, "one")
    state.list_boxes(make_box(name) for name in names)
    return state


def event(cursor: int, kind: str, name: str = "web", **data: object) -> Event:
    box = make_box(name)
    return Event(cursor=cursor, time=NOW, type=kind, id=box.id, name=name, data=data)


def stats(name: str, at: float, **values: int) -> Stats:
    return Stats(id=make_box(name).id, time=at, **values)


def test_an_event_shows_the_new_status_at_once_and_asks_for_the_whole_box() -> None:
    state = state_with("web")
    effect = state.apply(event(1, "box.paused", status="paused"))
    assert state.boxes[make_box("web").id].status is Status.PAUSED
    assert effect == Effect(fetch=make_box("web").id)


def test_an_exit_event_with_a_number_for_status_is_understood() -> None:
    state = state_with("web")
    state.apply(event(1, "box.exited", status=137, oom=True))
    box = state.boxes[make_box("web").id]
    assert box.status is Status.EXITED
    assert box.exit is not None
    assert (box.exit.status, box.exit.oom) == (137, True)


def test_a_removed_box_is_gone_with_its_samples() -> None:
    state = state_with("web")
    state.add_samples([stats("web", 1.0)])
    assert state.apply(event(1, "box.removed")) == Effect()
    assert not state.boxes
    assert not state.samples


def test_an_event_seen_before_changes_nothing() -> None:
    state = state_with("web")
    state.apply(event(5, "box.paused", status="paused"))
    assert state.apply(event(5, "box.unpaused", status="running")) == Effect()
    assert state.boxes[make_box("web").id].status is Status.PAUSED


def test_a_resync_asks_for_everything_and_moves_the_cursor() -> None:
    state = state_with("web")
    assert state.apply(event(900, "resync")) == Effect(resync=True)
    assert state.cursor == 900


def test_an_image_event_asks_for_the_images() -> None:
    assert state_with().apply(Event(cursor=1, time=NOW, type="image.prepared")) == Effect(
        images=True
    )


def test_the_same_daemon_need_not_be_listed_again_but_a_new_one_must() -> None:
    state = State()
    assert state.greeted(10, "one")
    assert not state.greeted(12, "one")
    assert state.cursor == 10
    assert state.greeted(3, "two")
    assert state.cursor == 3


def test_what_is_known_stays_when_the_daemon_is_lost() -> None:
    state = state_with("web")
    state.connected({"version": "1"})
    state.disconnected(DaemonUnreachable("gone"))
    assert state.link is Link.LOST
    assert len(state.boxes) == 1


def test_a_daemon_that_never_answered_is_not_called_lost() -> None:
    state = State()
    state.disconnected(DaemonUnreachable("none"))
    assert state.link is Link.CONNECTING


def test_history_is_put_before_what_was_seen_live_without_doubles() -> None:
    state = state_with("web")
    state.add_samples([stats("web", 10.0), stats("web", 11.0)])
    box_id = make_box("web").id
    state.add_history(box_id, [stats("web", at) for at in (8.0, 9.0, 10.0)])
    assert [s.time for s in state.samples[box_id]] == [8.0, 9.0, 10.0, 11.0]
    assert not state.lacks_history(box_id)


def test_samples_are_bounded_and_late_ones_are_dropped() -> None:
    state = state_with("web")
    state.add_samples(stats("web", float(at)) for at in range(HISTORY + 50))
    ring = state.samples[make_box("web").id]
    state.add_samples([stats("web", 1.0)])
    assert len(ring) == HISTORY
    assert ring[-1].time == HISTORY + 49


def test_rates_are_differences_over_time() -> None:
    state = state_with("web")
    state.add_samples([stats("web", 10.0, io_read=100), stats("web", 12.0, io_read=500)])
    assert state.rates(make_box("web").id).io == 200.0


def test_a_counter_that_fell_back_gives_no_negative_rate() -> None:
    samples = [stats("web", 1.0, net_rx=900), stats("web", 2.0, net_rx=10)]
    assert series(samples)["net"] == [0.0, 0.0]


def test_the_living_come_first_then_names() -> None:
    state = state_with("zebra", "ant")
    dead = make_box("aaa", Status.EXITED)
    state.put_box(dead)
    names = [state.boxes[key].name for key in state.visible()]
    assert names == ["ant", "zebra", "aaa"]


def test_the_order_by_cpu_puts_the_busiest_first() -> None:
    state = state_with("idle", "busy")
    state.add_samples([replace(stats("busy", 1.0), cpu_percent=80.0), stats("idle", 1.0)])
    names = [state.boxes[key].name for key in state.visible(order=Order.CPU)]
    assert names == ["busy", "idle"]


def test_the_filter_wants_every_word_and_refuses_the_negated() -> None:
    assert matches("web alpine running", "alp web")
    assert not matches("web alpine running", "alp db")
    assert not matches("web alpine running", "web !alp")
    assert matches("anything", "")
