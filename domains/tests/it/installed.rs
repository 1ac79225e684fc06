//! The domains as the engine runs them: without their types.

use foldline_domains::installed;
use serde_json::json;

use crate::golden::samples;

#[test]
fn the_talks_own_request_is_a_command() {
    let domains = installed();
    let orders = domains.aggregate("restaurant", "orders").unwrap();
    let printed =
        json!({ "type": "AddItemToOrderCommand", "menuItem": "/menu/items/8d30d99", "quantity": 2 });
    let (name, _) = orders.command_from_json(&printed, None).unwrap();
    assert_eq!(name, "AddItemToOrder");
}

#[test]
fn every_state_is_read_back_from_its_stored_form() {
    for aggregate in installed().aggregates() {
        let mut state = aggregate.initial();
        for event in samples::of(&aggregate.info().qualified_name()) {
            aggregate.evolve(&mut state, &event);
            let stored = aggregate.encode_state(&state);
            let read = aggregate.decode_state(&stored).unwrap();
            assert_eq!(aggregate.state_json(&read), aggregate.state_json(&state));
        }
    }
}

#[test]
fn each_aggregate_type_with_an_api_has_a_view_at_its_path() {
    let domains = installed();
    for aggregate in domains.aggregates() {
        let info = aggregate.info();
        let has_view = domains.views().iter().any(|view| view.info().path == info.path);
        assert!(
            has_view || info.is_internal(),
            "{} has no view",
            info.qualified_name()
        );
    }
}

#[test]
fn what_a_view_can_be_filtered_by_is_in_its_rows() {
    for view in installed().views() {
        let info = view.info();
        for field in info.fields {
            let name = field.name.split('.').next().unwrap();
            assert!(
                info.schema["properties"][name].is_object(),
                "{} has no {name}",
                info.name
            );
        }
        for (list, _) in info.lists {
            let list = &info.schema["properties"][*list];
            assert_eq!(list["type"], "array", "{}", info.name);
        }
    }
}

#[test]
fn a_menu_item_that_waits_for_its_own_event_is_no_status_that_clients_see() {
    let domains = installed();
    let menu = domains
        .views()
        .iter()
        .find(|view| view.info().name == "menu")
        .unwrap();
    let status = menu.info().schema["$defs"]["MenuItemStatus"].to_string();
    assert!(
        status.contains("ON_SALE") && !status.contains("AWAITED"),
        "{status}"
    );
}
