"""What of Faust, mode and aiokafka we replace or reach into, pinned: exact versions, and a hash of each function's source.

The batch path stands on private parts of three libraries. If one of them is another than when it was written, the worker
does not start: a wrong offset is worse than a worker that is down. `python -m streams.pins` prints the hashes of what is
installed, for whoever has read what changed and run the tests of faults.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from config.errors import UserFacingError
from streams.pin_hashes import HASHES

VERSIONS = {"faust-streaming": "0.15.3", "mode-streaming": "0.7.1", "aiokafka": "0.14.0"}

NAMES: dict[str, tuple[str, ...]] = {
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread": (
        "_create_worker_consumer", "_ensure_consumer", "_seek_wait", "_commit", "assignment", "call_thread", "crash",
        "_start_thread", "on_start", "highwater",
    ),
    "faust.transport.drivers.aiokafka:Consumer": (
        "__init__", "_new_consumer_thread", "getmany", "_getmany", "_get_active_partitions", "perform_seek", "_seek",
        "_filter_tps_with_pending_acks", "_new_offset", "_should_commit", "_commit", "wait_empty",
        "maybe_wait_for_commit_to_finish", "commit_and_end_transactions", "commit", "force_commit", "_commit_tps",
        "_commit_offsets", "_filter_committable_offsets", "_drain_messages", "_is_changelog_tp", "highwater",
        "on_partitions_revoked", "on_partitions_assigned", "_commit_handler", "_commit_livelock_detector",
        "stop_flow", "resume_flow", "pause_partitions", "resume_partitions", "on_stop", "assignment",
    ),
    "faust.transport.drivers.aiokafka:Transport": ("create_consumer",),
    "faust.transport.consumer:Fetcher": ("on_stop", "_fetcher"),
    "faust.transport.conductor:ConductorCompiler": ("build",),
    "faust.transport.conductor:Conductor": ("acks_enabled_for", "_update_indices"),
    "faust.tables.recovery:Recovery": (
        "__init__", "on_recovery_completed", "_set_recovery_ended", "_wait", "_restart_recovery", "_resume_streams",
        "_slurp_changelogs", "on_rebalance", "on_partitions_revoked", "flush_buffers", "_is_changelog_tp",
        "_build_offsets", "_seek_offsets", "_build_highwaters",
    ),
    "faust.tables.manager:TableManager": (
        "__init__", "recovery", "persist_offset_on_commit", "on_partitions_revoked", "on_rebalance",
        "on_actives_ready", "on_standbys_ready", "on_start", "_update_channels",
    ),
    "faust.tables.table:Table": (
        "persisted_offset", "need_active_standby_for", "reset_state", "on_rebalance", "apply_changelog_batch",
        "on_recovery_completed", "on_key_set", "on_key_del", "call_recover_callbacks",
    ),
    "faust.app.base:App": ("__init__", "_on_partitions_revoked", "_on_partitions_assigned", "_stop_consumer", "_consumer_wait_empty", "on_stop", "on_rebalance_end", "create_event"),
    "faust.serializers.schemas:Schema": ("compile",),
    "faust.types:Message": ("__init__",),
    "mode.services:Service": ("task", "wait", "wait_first", "crash", "stop", "_crash"),
    "mode.utils.queues:FlowControlEvent": ("suspend", "resume", "clear", "acquire"),
    "aiokafka:AIOKafkaConsumer": ("__init__", "start", "seek", "committed", "commit", "beginning_offsets", "end_offsets", "highwater", "last_stable_offset"),
    "aiokafka.consumer.fetcher:Fetcher": (
        "__init__", "fetched_records", "close", "_proc_fetch_request", "end_offsets", "_retrieve_offsets",
        "_proc_offset_requests", "_proc_offset_request",
    ),
    "aiokafka.consumer.fetcher:PartitionRecords": ("__init__", "__iter__", "__next__", "_unpack_records", "_consumer_record"),
    "aiokafka.consumer.fetcher:FetchResult": ("__init__", "getall", "getone", "check_assignment", "_update_position", "has_more"),
    "aiokafka.record.default_records:_DefaultRecordBatchPy": ("__init__", "__iter__", "_maybe_uncompress", "_read_msg"),
    "aiokafka.record.memory_records:_MemoryRecordsPy": ("__init__", "_cache_next", "next_batch"),
    "aiokafka.consumer.subscription_state:SubscriptionState": ("fetch_context", "is_assigned"),
    "aiokafka.consumer.group_coordinator:GroupCoordinator": (
        "_send_req", "_do_heartbeat", "_heartbeat_routine", "reset_generation", "_maybe_leave_group", "close",
        "ensure_active_group", "_on_join_prepare",
    ),
    "aiokafka.consumer.group_coordinator:CoordinatorGroupRebalance": ("_send_sync_group_request",),
    "aiokafka.client:AIOKafkaClient": ("send", "ready", "_get_conn", "_metadata_update", "force_metadata_update"),
    "aiokafka.conn:AIOKafkaConnection": ("send",),
    "aiokafka.producer.sender:Sender": ("_sender_routine", "_send_produce_req"),
    "aiokafka.producer.sender:SendProduceReqHandler": ("__init__", "do"),
    "aiokafka:AIOKafkaProducer": ("create_batch", "send_batch", "partitions_for"),
    "aiokafka.producer.message_accumulator:BatchBuilder": ("__init__", "append", "close", "record_count"),
    "aiokafka.producer.message_accumulator:MessageAccumulator": ("add_batch", "_append_batch", "_pop_batch", "reenqueue", "drain_by_nodes"),
    "aiokafka.producer.message_accumulator:MessageBatch": ("expired", "drain_ready", "retry_count"),
    "aiokafka.producer.transaction_manager:TransactionManager": ("producer_id", "set_pid_and_epoch"),
    "aiokafka.admin:AIOKafkaAdminClient": ("list_consumer_group_offsets", "describe_topics"),
}  # fmt: skip
"""Where a class or module is → its functions that we replace, call although they are private, or rely on in detail."""


def check_pins() -> None:
    """Return if everything is as it was when the batch path was written; takes about 0.1 s.

    Raises `UserFacingError` that names each version or function that is another.
    """
    found = list(changes())
    if found:
        wanted = " ".join(f"{name}=={number}" for name, number in VERSIONS.items())
        raise UserFacingError(
            "the worker replaces private parts of these libraries, and they are not those it was written for:\n  "
            + "\n  ".join(found)
            + f"\ninstall exactly {wanted} (`make setup` does)"
        )


def changes(versions: Mapping[str, str] = VERSIONS, hashes: Mapping[str, str] | None = None) -> Iterator[str]:
    """What is installed and differs, a line each."""
    for name, wanted in versions.items():
        try:
            installed = version(name)
        except PackageNotFoundError:
            installed = "missing"
        if installed != wanted:
            yield f"{name} is {installed}, not {wanted}"
    hashes = HASHES if hashes is None else hashes
    for place in places():
        found = hash_of(place)
        if found != hashes.get(place):
            yield f"{place} is gone" if found is None else f"{place} has another source ({found})"


def places() -> Iterator[str]:
    """All pinned functions, as `module:Class.function`."""
    for where, functions in NAMES.items():
        for function in functions:
            yield f"{where}.{function}" if ":" in where else f"{where}:{function}"


def source_of(place: str) -> str | None:
    """The source of a function, None if there is no such one. That of a base class if it is inherited."""
    module, _, path = place.partition(":")
    found: Any = import_module(module)
    for name in path.split("."):
        try:
            found = inspect.getattr_static(found, name)
        except AttributeError:
            return None
    for wrapped in ("__func__", "fget", "fun", "__wrapped__"):  # class method, property, mode's task, decorator
        found = getattr(found, wrapped, None) or found
    try:
        return inspect.getsource(found)
    except (TypeError, OSError):
        return None


def hash_of(place: str) -> str | None:
    """16 hex digits for a function's source, None if it cannot be found."""
    source = source_of(place)
    return None if source is None else blake2b(source.encode(), digest_size=8).hexdigest()


def _print() -> None:
    print("HASHES: Mapping[str, str] = {")
    for place in places():
        print(f'    "{place}": "{hash_of(place)}",')
    print("}")


if __name__ == "__main__":
    _print()
