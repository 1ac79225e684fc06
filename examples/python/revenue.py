"""An analyst: reads every event of the orders and prints the revenue per menu item of the orders that were placed."""

import argparse
import os
import sys
from collections import defaultdict

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext


def main():
    options = arguments()
    descriptions = {}
    ordered = defaultdict(int)
    revenue = defaultdict(int)
    orders = 0
    for event in events(options, options.topic_prefix + "restaurant.orders.events"):
        # Exactly one payload is set: that of the event's type.
        if added := event["item_added_to_order"]:
            descriptions[added["menu_item_id"]] = added["description"]
        elif placed := event["order_placed"]:
            orders += 1
            for item in placed["items"]:
                line = (item["menu_item_id"], item["price"]["currency"])
                ordered[line] += item["quantity"]
                revenue[line] += item["quantity"] * item["price"]["amount"]

    print(f"{'item':<30}{'ordered':>10}{'revenue':>14}")
    for line in sorted(revenue, key=revenue.get, reverse=True):
        item, currency = line
        # Money is counted in minor units.
        print(f"{descriptions.get(item, item):<30.29}{ordered[line]:>10}{revenue[line] / 100:>10.2f} {currency}")
    print(f"{orders} orders were placed")


def events(options, topic):
    """Every event from the first to the last one there is now. The events of an order come in their order."""
    deserialize = AvroDeserializer(SchemaRegistryClient({"url": options.schema_registry}))
    # The default, read_committed, hides what was decided and then taken back.
    consumer = Consumer({"bootstrap.servers": options.bootstrap_servers, "group.id": f"{options.topic_prefix}analysts-revenue",
                         "enable.auto.commit": False, "enable.partition.eof": True})
    known = consumer.list_topics(topic, 10).topics[topic]
    if known.error:
        sys.exit(f"{topic}: {known.error}")
    consumer.assign([TopicPartition(topic, number, 0) for number in known.partitions])
    unread = set(known.partitions)
    while unread:
        message = consumer.poll(10)
        if message is None:
            sys.exit(f"Kafka at {options.bootstrap_servers} does not answer")
        if not message.error():
            yield deserialize(message.value(), SerializationContext(topic, MessageField.VALUE))
        elif message.error().name() == "_PARTITION_EOF":
            unread.discard(message.partition())
        else:
            sys.exit(str(message.error()))
    consumer.close()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap-servers", default=os.environ.get("FOLDLINE_BOOTSTRAP_SERVERS", "127.0.0.1:9092"))
    parser.add_argument("--schema-registry", default=os.environ.get(
        "FOLDLINE_SCHEMA_REGISTRY", "http://127.0.0.1:8085/apis/ccompat/v7"))
    parser.add_argument("--topic-prefix", default=os.environ.get("FOLDLINE_TOPIC_PREFIX", ""))
    return parser.parse_args()


if __name__ == "__main__":
    main()
