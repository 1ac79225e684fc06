"""A producer for the command line: sends commands as they are given, in JSON, and prints what became of each.

    send.py restaurant.orders '{"aggregate_id": "o-1", "command_type": "CancelOrder", "cancel_order": {}}'

A command is a record of the command topic. What is not said is filled in: `command_id` with a new one, `issued_at` with
the time. `--partitioner` is for showing what happens to a command that is put in the wrong partition.
"""

import argparse
import json
import os
import sys
import time
import uuid
from datetime import datetime, timezone

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext


def main():
    options = arguments()
    registry = SchemaRegistryClient({"url": options.schema_registry})
    topic = f"{options.topic_prefix}{options.aggregate}"
    readers = [at_the_end(options, f"{topic}.{kind}") for kind in ("results", "commands.dlt")]
    for text in options.command:
        command = {"command_id": str(uuid.uuid4()), "issued_at": datetime.now(timezone.utc), **json.loads(text)}
        place = send(options, registry, f"{topic}.commands", command)
        print(json.dumps(outcome(readers, registry, place), default=str))


def send(options, registry, topic, command):
    """Appends the command, and returns where it lies."""
    # The schema is Foldline's: a producer uses the registered one, and registers none of its own.
    serialize = AvroSerializer(registry, conf={"auto.register.schemas": False, "use.latest.version": True})
    producer = Producer({"bootstrap.servers": options.bootstrap_servers, "partitioner": options.partitioner,
                         "enable.idempotence": True})
    placed = []
    value = serialize(command, SerializationContext(topic, MessageField.VALUE))
    producer.produce(topic, key=command["aggregate_id"].encode(), value=value,
                     on_delivery=lambda error, message: placed.append((error, message)))
    if producer.flush(30) or placed[0][0]:
        sys.exit(f"Kafka did not take the command: {placed[0][0] if placed else 'no answer within 30 s'}")
    return placed[0][1].partition(), placed[0][1].offset()


def outcome(readers, registry, place, seconds=30):
    """The result record of the command that lies there, or what the dead-letter topic says of it."""
    deserialize, end = AvroDeserializer(registry), time.monotonic() + seconds
    while time.monotonic() < end:
        for reader in readers:
            message = reader.poll(0.05)
            if message is None or message.error():
                continue
            if message.topic().endswith(".dlt"):
                headers = {name: value.decode() for name, value in message.headers()}
                errors = {name.rpartition(".")[2]: value for name, value in headers.items() if "errors" in name}
                if (int(errors["partition"]), int(errors["offset"])) == place:
                    return {"outcome": "dead-lettered", **errors}
            else:
                result = deserialize(message.value(), SerializationContext(message.topic(), MessageField.VALUE))
                if (message.partition(), result["command_offset"]) == place:
                    return result
    sys.exit(f"no outcome within {seconds} s")


def at_the_end(options, topic):
    """A consumer that sees what is written from now on."""
    consumer = Consumer({"bootstrap.servers": options.bootstrap_servers, "group.id": f"{options.topic_prefix}producers-send",
                         "enable.auto.commit": False, "isolation.level": "read_committed"})
    partitions = [TopicPartition(topic, number) for number in consumer.list_topics(topic, 10).topics[topic].partitions]
    for partition in partitions:
        _, partition.offset = consumer.get_watermark_offsets(partition, timeout=10)
    consumer.assign(partitions)
    return consumer


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("aggregate", help="restaurant.orders")
    parser.add_argument("command", nargs="+", help="a command's record, as JSON")
    parser.add_argument("--bootstrap-servers", default=os.environ.get("FOLDLINE_BOOTSTRAP_SERVERS", "127.0.0.1:9092"))
    parser.add_argument("--schema-registry", default=os.environ.get(
        "FOLDLINE_SCHEMA_REGISTRY", "http://127.0.0.1:8085/apis/ccompat/v7"))
    parser.add_argument("--topic-prefix", default=os.environ.get("FOLDLINE_TOPIC_PREFIX", ""))
    # librdkafka's own default puts a key into another partition than Java does, and Foldline follows Java.
    parser.add_argument("--partitioner", default="murmur2_random")
    return parser.parse_args()


if __name__ == "__main__":
    main()
