"""An upstream producer: places an order by writing commands to Kafka, and waits for what becomes of them. Without
--customer and --item it first makes a customer and two menu items over HTTP."""

import argparse
import json
import os
import sys
import time
import urllib.request
import uuid
from datetime import datetime, timezone

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext


def main():
    options = arguments()
    customer, items, seen = options.customer, options.item, {}
    if not customer:
        customer, items, seen = make_customer_and_menu(options.write_api)
    order = str(uuid.uuid4())
    commands = [command(order, "OpenOrder", seen, customer=customer)]
    commands += [command(order, "AddItemToOrder", seen, menu_item=item, quantity=n) for n, item in enumerate(items, 1)]
    commands += [command(order, "SetDeliveryAddress", seen, address=f"{customer}/addresses/{options.address}")]
    commands += [command(order, "PlaceOrder", seen)]

    registry = SchemaRegistryClient({"url": options.schema_registry})
    results = at_the_end(options, options.topic_prefix + "restaurant.orders.results")
    publish(options, registry, options.topic_prefix + "restaurant.orders.commands", commands)
    outcomes = wait_for(results, registry, {sent["command_id"] for sent in commands})
    for sent in commands:
        result = outcomes[sent["command_id"]]
        events = ", ".join(event["event_type"] for event in result["events"])
        print(f"{sent['command_type']:<20}{result['outcome']:<10}{events or result['refusal']['detail']}")
    print(f"/orders/{order}")
    sys.exit(any(result["refusal"] for result in outcomes.values()))


def command(order, command_type, seen, **payload):
    """A record of the command topic: the payload stands in the field that is called as the type, in snake case."""
    field = "".join("_" + letter.lower() if letter.isupper() else letter for letter in command_type).lstrip("_")
    # What was just made may not be known to the orders yet. With the token of what made it, they wait for it.
    token = next((seen[link] for link in payload.values() if link in seen), None)
    return {"command_id": str(uuid.uuid4()), "command_type": command_type, "aggregate_id": order,
            "issued_at": datetime.now(timezone.utc), "actor": "place_order.py", "consistency_token": token,
            field: payload}


def publish(options, registry, topic, commands):
    # The schema is Foldline's: a producer uses the registered one, and registers none of its own.
    serialize = AvroSerializer(registry, conf={"auto.register.schemas": False, "use.latest.version": True})
    # librdkafka's own default puts a key into another partition than Java does, and Foldline follows Java.
    producer = Producer({"bootstrap.servers": options.bootstrap_servers, "partitioner": "murmur2_random",
                         "enable.idempotence": True})
    for sent in commands:
        value = serialize(sent, SerializationContext(topic, MessageField.VALUE))
        producer.produce(topic, key=sent["aggregate_id"].encode(), value=value)
    if producer.flush(30):
        sys.exit("Kafka did not take the commands within 30 s")


def at_the_end(options, topic):
    """A consumer that sees what is written from now on."""
    consumer = Consumer({"bootstrap.servers": options.bootstrap_servers, "group.id": f"{options.topic_prefix}producers-place-order",
                         "enable.auto.commit": False})
    partitions = [TopicPartition(topic, number) for number in consumer.list_topics(topic, 10).topics[topic].partitions]
    for partition in partitions:
        _, partition.offset = consumer.get_watermark_offsets(partition, timeout=10)
    consumer.assign(partitions)
    return consumer


def wait_for(consumer, registry, command_ids, seconds=30):
    deserialize, outcomes, end = AvroDeserializer(registry), {}, time.monotonic() + seconds
    while len(outcomes) < len(command_ids) and time.monotonic() < end:
        message = consumer.poll(1)
        if message and not message.error():
            result = deserialize(message.value(), SerializationContext(message.topic(), MessageField.VALUE))
            if result["command_id"] in command_ids:
                outcomes[result["command_id"]] = result
    consumer.close()
    if len(outcomes) < len(command_ids):
        sys.exit(f"only {len(outcomes)} of {len(command_ids)} commands were decided within {seconds} s")
    return outcomes


def make_customer_and_menu(api):
    """Links to a customer and to two menu items, and how far one has to have read to know each of them."""
    def post(path, **body):
        request = urllib.request.Request(api + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        answer = json.load(urllib.request.urlopen(request, timeout=30))
        return answer["aggregate"], answer["consistency_token"]

    customer, token = post("/customers", type="SignUp", email=f"guest-{uuid.uuid4()}@example.com")
    _, address_token = post(f"{customer}/commands", type="AddAddress", nickname="home", location="12 Sea Street")
    items = [post("/menu/items", type="AddMenuItem", description=dish, price={"amount": cents, "currency": "USD"})
             for dish, cents in {"Feijoada": 1250, "Caldo verde": 600}.items()]
    return customer, [item for item, _ in items], {
        customer: token, f"{customer}/addresses/home": address_token, **dict(items)}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap-servers", default=os.environ.get("FOLDLINE_BOOTSTRAP_SERVERS", "127.0.0.1:9092"))
    parser.add_argument("--schema-registry", default=os.environ.get(
        "FOLDLINE_SCHEMA_REGISTRY", "http://127.0.0.1:8085/apis/ccompat/v7"))
    parser.add_argument("--topic-prefix", default=os.environ.get("FOLDLINE_TOPIC_PREFIX", ""))
    parser.add_argument("--write-api", default=os.environ.get("FOLDLINE_COMMAND_API", "http://127.0.0.1:8081"),
                        help="only used without --customer")
    parser.add_argument("--customer", help="/customers/{id}, who has an address")
    parser.add_argument("--address", default="home", help="its nickname")
    parser.add_argument("--item", action="append", help="/menu/items/{id}; the first is ordered once, the second twice")
    options = parser.parse_args()
    if bool(options.customer) != bool(options.item):
        parser.error("--customer and --item belong together")
    return options


if __name__ == "__main__":
    main()
