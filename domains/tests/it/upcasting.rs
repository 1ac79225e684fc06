//! Events of an older revision are read as today's: the restaurant's only real case, for any values.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use foldline_core::{AggregateId, AggregateType, AnyEvent, DecodeError, Writer, told_today};
use foldline_domains::installed;
use foldline_domains::restaurant::Money;
use foldline_domains::restaurant::orders::{Order, OrderEvent};
use proptest::prelude::*;
use uuid::Uuid;

use crate::folder;
use crate::golden::samples;

fn orders() -> Arc<dyn AggregateType> {
    let domains = installed();
    Arc::clone(domains.aggregate("restaurant", "orders").unwrap())
}

/// The last schema whose writers wrote revision 1.
fn revision_1() -> Schema {
    let file = folder("schemas").join(Path::new("restaurant/orders/events/v2.avsc"));
    Schema::parse_str(&fs::read_to_string(file).unwrap()).unwrap()
}

/// The bytes of an event as that schema's writers wrote them.
fn written_as_revision_1(orders: &dyn AggregateType, older: &Schema, event: OrderEvent) -> Vec<u8> {
    let (mut meta, mut today) = (samples::meta(), Vec::new());
    orders
        .encode_event(&mut meta, &AnyEvent::new::<Order>(event), &mut today)
        .unwrap();
    let ours = Schema::parse(orders.event_codec().schema()).unwrap();
    let reader = GenericDatumReader::builder(&ours)
        .reader_schema(older)
        .build()
        .unwrap();
    let Value::Record(mut fields) = reader.read_value(&mut today.as_slice()).unwrap() else {
        panic!("a record")
    };
    for (name, value) in &mut fields {
        if name == "revision" {
            *value = Value::Int(1);
        }
    }
    let writer = GenericDatumWriter::builder(older).build().unwrap();
    writer.write_value_to_vec(Value::Record(fields)).unwrap()
}

fn writer(orders: &dyn AggregateType, schema: Schema) -> Writer {
    orders.event_codec().written_by(schema).unwrap()
}

prop_compose! {
    fn added()(
        item in any::<u128>(),
        menu_item in "[a-z0-9]{1,20}",
        description in ".{0,40}",
        amount in any::<i64>(),
        currency in "[A-Z]{3}",
        quantity in any::<i32>(),
    ) -> OrderEvent {
        let price = Money { amount, currency };
        OrderEvent::ItemAddedToOrder {
            order_item_id: Uuid::from_u128(item),
            menu_item_id: menu_item.parse::<AggregateId>().unwrap(),
            description,
            subtotal: price.times(quantity),
            price,
            quantity,
        }
    }
}

#[test]
fn any_item_that_was_added_as_revision_1_is_read_as_revision_2() {
    let (orders, older) = (orders(), revision_1());
    let by_older = writer(&*orders, older.clone());
    proptest!(|(event in added())| {
        let bytes = written_as_revision_1(&*orders, &older, event.clone());
        let read = orders.decode_event_by(&by_older, &bytes).unwrap();
        prop_assert_eq!(read.event.get::<Order>(), Some(&event));
        prop_assert_eq!((read.meta.written_revision, read.meta.revision), (1, 2));

        // And what is kept of it as JSON is as good as it.
        let kept = orders.event_json(&read.event);
        let again = orders.event_from_json("ItemAddedToOrder", 2, kept.clone()).unwrap();
        prop_assert_eq!(again.get::<Order>(), Some(&event));
        let mut old = kept;
        old.as_object_mut().unwrap().remove("subtotal");
        let upcast = orders.event_from_json("ItemAddedToOrder", 1, old).unwrap();
        prop_assert_eq!(upcast.get::<Order>(), Some(&event));
    });
}

#[test]
fn what_a_history_has_kept_of_revision_1_is_told_as_revision_2() {
    let orders = orders();
    let event = samples::of("restaurant.orders").remove(1);
    let (mut meta, mut bytes) = (samples::meta(), Vec::new());
    orders.encode_event(&mut meta, &event, &mut bytes).unwrap();
    let today = meta.to_json(orders.event_json(&event));
    assert_eq!(told_today(&*orders, today.to_string()), today.to_string());

    // As the first release has told it.
    let mut once = today.clone();
    once["revision"] = 1.into();
    once.as_object_mut().unwrap().remove("written_revision");
    once["payload"].as_object_mut().unwrap().remove("subtotal");
    let told: serde_json::Value = serde_json::from_str(&told_today(&*orders, once.to_string())).unwrap();
    let mut expected = today;
    expected["written_revision"] = 1.into();
    assert_eq!(told, expected);
    assert_eq!(told_today(&*orders, "no event".to_owned()), "no event");
}

#[test]
fn an_older_reader_reads_revision_2_and_does_not_see_what_is_new() {
    let (orders, older) = (orders(), revision_1());
    let event = samples::of("restaurant.orders").remove(1);
    let (mut meta, mut bytes) = (samples::meta(), Vec::new());
    orders.encode_event(&mut meta, &event, &mut bytes).unwrap();
    let ours = Schema::parse(orders.event_codec().schema()).unwrap();
    let reader = GenericDatumReader::builder(&ours)
        .reader_schema(&older)
        .build()
        .unwrap();
    let read = format!("{:?}", reader.read_value(&mut bytes.as_slice()).unwrap());
    assert!(read.contains("quantity") && !read.contains("subtotal"), "{read}");
}

#[test]
fn a_revision_2_without_its_new_field_is_no_event() {
    let (orders, older) = (orders(), revision_1());
    let event = samples::of("restaurant.orders").remove(1);
    let event = event.get::<Order>().unwrap().clone();
    let bytes = written_as_revision_1(&*orders, &older, event);
    // As a writer would leave it that claims the revision, and has not its schema.
    let reader = GenericDatumReader::builder(&older).build().unwrap();
    let Value::Record(mut fields) = reader.read_value(&mut bytes.as_slice()).unwrap() else {
        panic!("a record")
    };
    fields
        .iter_mut()
        .filter(|(name, _)| name == "revision")
        .for_each(|(_, value)| *value = Value::Int(2));
    let claimed = GenericDatumWriter::builder(&older)
        .build()
        .unwrap()
        .write_value_to_vec(Value::Record(fields))
        .unwrap();
    let error = orders
        .decode_event_by(&writer(&*orders, older), &claimed)
        .err()
        .unwrap();
    assert!(matches!(error, DecodeError::Avro { .. }), "{error}");
}
