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

HASHES: Mapping[str, str] = {
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread._create_worker_consumer": "936e53aab137bb69",
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread._ensure_consumer": "cbcd0c5d7b2c0f7f",
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread._seek_wait": "8a24992a74b20055",
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread._commit": "8db40aa72fa635cc",
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread.assignment": "06b59af2e30ea340",
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread.call_thread": "3e8109232c5d0ecd",
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread.crash": "09660debc0e84a82",
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread._start_thread": "3c04887dc4b86ccd",
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread.on_start": "12c5c1cb30e3dbe4",
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread.highwater": "3e338e1af1f0e2ec",
    "faust.transport.drivers.aiokafka:Consumer.__init__": "05a23a8b2cef9920",
    "faust.transport.drivers.aiokafka:Consumer._new_consumer_thread": "89ce55d44796a2e9",
    "faust.transport.drivers.aiokafka:Consumer.getmany": "b3651b6ff09e9d5b",
    "faust.transport.drivers.aiokafka:Consumer._getmany": "e8acf8ed91604cd6",
    "faust.transport.drivers.aiokafka:Consumer._get_active_partitions": "db6ea4e824b3024b",
    "faust.transport.drivers.aiokafka:Consumer.perform_seek": "907234e153925494",
    "faust.transport.drivers.aiokafka:Consumer._seek": "c8c8386a8bbacbb0",
    "faust.transport.drivers.aiokafka:Consumer._filter_tps_with_pending_acks": "467041243ad0031f",
    "faust.transport.drivers.aiokafka:Consumer._new_offset": "c4735e1836cc03d7",
    "faust.transport.drivers.aiokafka:Consumer._should_commit": "56c2d00548218953",
    "faust.transport.drivers.aiokafka:Consumer._commit": "f226a804a50e2934",
    "faust.transport.drivers.aiokafka:Consumer.wait_empty": "e6ba6b8dd2510ab0",
    "faust.transport.drivers.aiokafka:Consumer.maybe_wait_for_commit_to_finish": "917e8eec494a6557",
    "faust.transport.drivers.aiokafka:Consumer.commit_and_end_transactions": "b561c600d8b7b047",
    "faust.transport.drivers.aiokafka:Consumer.commit": "87183690eb528cb9",
    "faust.transport.drivers.aiokafka:Consumer.force_commit": "46a66c09c294374a",
    "faust.transport.drivers.aiokafka:Consumer._commit_tps": "2cb646810439f1c7",
    "faust.transport.drivers.aiokafka:Consumer._commit_offsets": "d72353acd0e6bcc7",
    "faust.transport.drivers.aiokafka:Consumer._filter_committable_offsets": "d71f8247376e029d",
    "faust.transport.drivers.aiokafka:Consumer._drain_messages": "51f5d28b77953a29",
    "faust.transport.drivers.aiokafka:Consumer._is_changelog_tp": "f4f93f31ab92a4c3",
    "faust.transport.drivers.aiokafka:Consumer.highwater": "186d38e1f7827e0e",
    "faust.transport.drivers.aiokafka:Consumer.on_partitions_revoked": "901b70cdae5c18f3",
    "faust.transport.drivers.aiokafka:Consumer.on_partitions_assigned": "accafbb022f7b720",
    "faust.transport.drivers.aiokafka:Consumer._commit_handler": "61b1f2ff3dee6bef",
    "faust.transport.drivers.aiokafka:Consumer._commit_livelock_detector": "aada6af4447bbe9a",
    "faust.transport.drivers.aiokafka:Consumer.stop_flow": "51903f7ff9e2f463",
    "faust.transport.drivers.aiokafka:Consumer.resume_flow": "a38453ab71324d3b",
    "faust.transport.drivers.aiokafka:Consumer.pause_partitions": "3eb33668adac99fb",
    "faust.transport.drivers.aiokafka:Consumer.resume_partitions": "b3e5bf87a488f706",
    "faust.transport.drivers.aiokafka:Consumer.on_stop": "867113f8ecd97688",
    "faust.transport.drivers.aiokafka:Consumer.assignment": "3f215cea8a726c0d",
    "faust.transport.drivers.aiokafka:Transport.create_consumer": "80282e23de326c61",
    "faust.transport.consumer:Fetcher.on_stop": "b80e4f97b0d3fa04",
    "faust.transport.consumer:Fetcher._fetcher": "3a6af720e9e4760e",
    "faust.transport.conductor:ConductorCompiler.build": "f0888d8f544fabda",
    "faust.transport.conductor:Conductor.acks_enabled_for": "769854d9e95cd4a9",
    "faust.transport.conductor:Conductor._update_indices": "705d2f5907a13e47",
    "faust.tables.recovery:Recovery.__init__": "fdfb341393bf5677",
    "faust.tables.recovery:Recovery.on_recovery_completed": "2835f40bae1d8c71",
    "faust.tables.recovery:Recovery._set_recovery_ended": "55358ee877bfaa95",
    "faust.tables.recovery:Recovery._wait": "beac4f5e3e986d9b",
    "faust.tables.recovery:Recovery._restart_recovery": "59c2f1e87c6fdc8e",
    "faust.tables.recovery:Recovery._resume_streams": "60cc8b191fe8b649",
    "faust.tables.recovery:Recovery._slurp_changelogs": "4f248be84a02f98e",
    "faust.tables.recovery:Recovery.on_rebalance": "f35254bedcebd386",
    "faust.tables.recovery:Recovery.on_partitions_revoked": "97a0ccd4296ccb63",
    "faust.tables.recovery:Recovery.flush_buffers": "dde9f5e5a461108f",
    "faust.tables.recovery:Recovery._is_changelog_tp": "043788963d2abc2f",
    "faust.tables.recovery:Recovery._build_offsets": "c81215b6f1628a8c",
    "faust.tables.recovery:Recovery._seek_offsets": "6480755700291f9c",
    "faust.tables.recovery:Recovery._build_highwaters": "f8fcd07879aca7ba",
    "faust.tables.manager:TableManager.__init__": "74d20a3d458ca848",
    "faust.tables.manager:TableManager.recovery": "4d92f310addbe05b",
    "faust.tables.manager:TableManager.persist_offset_on_commit": "cc17f29631b7bece",
    "faust.tables.manager:TableManager.on_partitions_revoked": "4bb3e67d7d9e557f",
    "faust.tables.manager:TableManager.on_rebalance": "adc79c5ca296bb0d",
    "faust.tables.manager:TableManager.on_actives_ready": "bdd9af4f7b22cc04",
    "faust.tables.manager:TableManager.on_standbys_ready": "1c012def9e771ae3",
    "faust.tables.manager:TableManager.on_start": "cb16baea895f3919",
    "faust.tables.manager:TableManager._update_channels": "ac985f0cc315b288",
    "faust.tables.table:Table.persisted_offset": "3a94e90b739a9933",
    "faust.tables.table:Table.need_active_standby_for": "735c90d823157add",
    "faust.tables.table:Table.reset_state": "323ac12a0169f013",
    "faust.tables.table:Table.on_rebalance": "cf6bb9e9d0983bd9",
    "faust.tables.table:Table.apply_changelog_batch": "7e076860a9a034f5",
    "faust.tables.table:Table.on_recovery_completed": "ccb315e24d48d5e7",
    "faust.tables.table:Table.on_key_set": "ac1fae6f4b0efd83",
    "faust.tables.table:Table.on_key_del": "055a734fea67f843",
    "faust.tables.table:Table.call_recover_callbacks": "6434ae08d9dd997b",
    "faust.app.base:App.__init__": "49900e49cd597484",
    "faust.app.base:App._on_partitions_revoked": "99aa6ba163476c6f",
    "faust.app.base:App._on_partitions_assigned": "70e1f11219628b5a",
    "faust.app.base:App._stop_consumer": "b6ebffb2c2c1f557",
    "faust.app.base:App._consumer_wait_empty": "c9abcc98b11c3775",
    "faust.app.base:App.on_stop": "7bf3136e60cf497b",
    "faust.app.base:App.on_rebalance_end": "d8b4a6a6766055df",
    "faust.app.base:App.create_event": "47aaa66dc4ea5de2",
    "faust.serializers.schemas:Schema.compile": "fa59f3eddbb54263",
    "faust.types:Message.__init__": "e0c76bce62093056",
    "mode.services:Service.task": "77b9c659fa556b77",
    "mode.services:Service.wait": "3adc7e7c72fc3b42",
    "mode.services:Service.wait_first": "12ef23d09364c119",
    "mode.services:Service.crash": "4963b5f084b1fd7c",
    "mode.services:Service.stop": "b075f7ea1bd41ca4",
    "mode.services:Service._crash": "9aba764dfbfb3246",
    "mode.utils.queues:FlowControlEvent.suspend": "1b4b579a9607e2e0",
    "mode.utils.queues:FlowControlEvent.resume": "058be0f33dfcdeee",
    "mode.utils.queues:FlowControlEvent.clear": "3d962c86049d61c7",
    "mode.utils.queues:FlowControlEvent.acquire": "0ed66d8885560a59",
    "aiokafka:AIOKafkaConsumer.__init__": "5ef9169433f745d8",
    "aiokafka:AIOKafkaConsumer.start": "ef4988caf89116fe",
    "aiokafka:AIOKafkaConsumer.seek": "70169bc9359c1467",
    "aiokafka:AIOKafkaConsumer.committed": "9b2cc4743de9ea19",
    "aiokafka:AIOKafkaConsumer.commit": "175f75b4f106c197",
    "aiokafka:AIOKafkaConsumer.beginning_offsets": "e5aff0f024893907",
    "aiokafka:AIOKafkaConsumer.end_offsets": "df4d7f2554a7ce2e",
    "aiokafka:AIOKafkaConsumer.highwater": "351a831553e6319b",
    "aiokafka:AIOKafkaConsumer.last_stable_offset": "b89c32518fd3abb9",
    "aiokafka.consumer.fetcher:Fetcher.__init__": "995d649a40d8f8c5",
    "aiokafka.consumer.fetcher:Fetcher.fetched_records": "6432ce7f8eab840c",
    "aiokafka.consumer.fetcher:Fetcher.close": "3006fb1a0e7dde18",
    "aiokafka.consumer.fetcher:Fetcher._proc_fetch_request": "51e66543d787a186",
    "aiokafka.consumer.fetcher:Fetcher.end_offsets": "4b458ab4eea92bd4",
    "aiokafka.consumer.fetcher:Fetcher._retrieve_offsets": "82c712c0b81f6be6",
    "aiokafka.consumer.fetcher:Fetcher._proc_offset_requests": "bf3c2c72b0933b2d",
    "aiokafka.consumer.fetcher:Fetcher._proc_offset_request": "edb69566ca162ae3",
    "aiokafka.consumer.fetcher:PartitionRecords.__init__": "13021156ca16871c",
    "aiokafka.consumer.fetcher:PartitionRecords.__iter__": "eb13c7a5714081b3",
    "aiokafka.consumer.fetcher:PartitionRecords.__next__": "23036a29af519612",
    "aiokafka.consumer.fetcher:PartitionRecords._unpack_records": "a2153689239f3325",
    "aiokafka.consumer.fetcher:PartitionRecords._consumer_record": "17c95ccc47b0369c",
    "aiokafka.consumer.fetcher:FetchResult.__init__": "08116796c6feaa6b",
    "aiokafka.consumer.fetcher:FetchResult.getall": "cad8ce912d89c1e1",
    "aiokafka.consumer.fetcher:FetchResult.getone": "139d99f6ceef70d2",
    "aiokafka.consumer.fetcher:FetchResult.check_assignment": "4675ae771fd6ab00",
    "aiokafka.consumer.fetcher:FetchResult._update_position": "e4a5a939b27a6588",
    "aiokafka.consumer.fetcher:FetchResult.has_more": "9002594f2a48ec08",
    "aiokafka.record.default_records:_DefaultRecordBatchPy.__init__": "26ab7a376afd9bc8",
    "aiokafka.record.default_records:_DefaultRecordBatchPy.__iter__": "93622f87e5d203ce",
    "aiokafka.record.default_records:_DefaultRecordBatchPy._maybe_uncompress": "53a33d3fe08dda0e",
    "aiokafka.record.default_records:_DefaultRecordBatchPy._read_msg": "1a125cf8da3f189a",
    "aiokafka.record.memory_records:_MemoryRecordsPy.__init__": "2940004c8a825f88",
    "aiokafka.record.memory_records:_MemoryRecordsPy._cache_next": "5c43fe30908f558e",
    "aiokafka.record.memory_records:_MemoryRecordsPy.next_batch": "d19f764c77ec2dcf",
    "aiokafka.consumer.subscription_state:SubscriptionState.fetch_context": "b2260f40a0d466a7",
    "aiokafka.consumer.subscription_state:SubscriptionState.is_assigned": "bb6ca781ade3f506",
    "aiokafka.consumer.group_coordinator:GroupCoordinator._send_req": "0384baf564129d9b",
    "aiokafka.consumer.group_coordinator:GroupCoordinator._do_heartbeat": "f843d94265da4d5d",
    "aiokafka.consumer.group_coordinator:GroupCoordinator._heartbeat_routine": "40df47db367dd341",
    "aiokafka.consumer.group_coordinator:GroupCoordinator.reset_generation": "02c67302ab17ab44",
    "aiokafka.consumer.group_coordinator:GroupCoordinator._maybe_leave_group": "73e835160e4a3768",
    "aiokafka.consumer.group_coordinator:GroupCoordinator.close": "1d1da57c64eb8c97",
    "aiokafka.consumer.group_coordinator:GroupCoordinator.ensure_active_group": "4a60451f9c32ce9d",
    "aiokafka.consumer.group_coordinator:GroupCoordinator._on_join_prepare": "87f1780e86bbf7bf",
    "aiokafka.consumer.group_coordinator:CoordinatorGroupRebalance._send_sync_group_request": "d06951535db88b65",
    "aiokafka.client:AIOKafkaClient.send": "37a30614cbbc5f2b",
    "aiokafka.client:AIOKafkaClient.ready": "b9bd4130142f273b",
    "aiokafka.client:AIOKafkaClient._get_conn": "a2d0151b95cc17e9",
    "aiokafka.client:AIOKafkaClient._metadata_update": "34db2d9879b90232",
    "aiokafka.client:AIOKafkaClient.force_metadata_update": "7ed688f58cb1b756",
    "aiokafka.conn:AIOKafkaConnection.send": "0515a488aa788181",
    "aiokafka.producer.sender:Sender._sender_routine": "5f065fc4f87941f2",
    "aiokafka.producer.sender:Sender._send_produce_req": "414f923552bf82e5",
    "aiokafka.producer.sender:SendProduceReqHandler.__init__": "843e3359dea2012d",
    "aiokafka.producer.sender:SendProduceReqHandler.do": "97e88b28fb067c44",
    "aiokafka:AIOKafkaProducer.create_batch": "e586dec6e9b3e50f",
    "aiokafka:AIOKafkaProducer.send_batch": "343edc615192d17f",
    "aiokafka:AIOKafkaProducer.partitions_for": "53bfe20e53a504ba",
    "aiokafka.producer.message_accumulator:BatchBuilder.__init__": "1710da0fa0ebaefe",
    "aiokafka.producer.message_accumulator:BatchBuilder.append": "0cea41147d44e9e0",
    "aiokafka.producer.message_accumulator:BatchBuilder.close": "75a9801935fe55f9",
    "aiokafka.producer.message_accumulator:BatchBuilder.record_count": "4c81cd56a4c8e560",
    "aiokafka.producer.message_accumulator:MessageAccumulator.add_batch": "fbd44632605b4630",
    "aiokafka.producer.message_accumulator:MessageAccumulator._append_batch": "097c9759dec748b6",
    "aiokafka.producer.message_accumulator:MessageAccumulator._pop_batch": "afa17bcf60015be3",
    "aiokafka.producer.message_accumulator:MessageAccumulator.reenqueue": "06b68c0b97f437f5",
    "aiokafka.producer.message_accumulator:MessageAccumulator.drain_by_nodes": "700e1ee78c92552d",
    "aiokafka.producer.message_accumulator:MessageBatch.expired": "686a410d1b88040d",
    "aiokafka.producer.message_accumulator:MessageBatch.drain_ready": "263ca2399cdea210",
    "aiokafka.producer.message_accumulator:MessageBatch.retry_count": "3739f0aeb63f24d6",
    "aiokafka.producer.transaction_manager:TransactionManager.producer_id": "16c620251694da5c",
    "aiokafka.producer.transaction_manager:TransactionManager.set_pid_and_epoch": "bdf11e15b7c0bf3f",
    "aiokafka.admin:AIOKafkaAdminClient.list_consumer_group_offsets": "152452b8b30b7f19",
    "aiokafka.admin:AIOKafkaAdminClient.describe_topics": "b67fe8e91a4c5293",
}
"""`module:Class.function` → hash of its source."""


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
