use foldline_core::{OldPayload, UpcastError, Upcaster};

use crate::restaurant::Money;

/// From every older revision of an order's events to today's. Each stays, as the events that it reads do.
pub(super) const UPCASTERS: &[Upcaster] = &[Upcaster {
    event: "ItemAddedToOrder",
    from: 1,
    upcast: with_subtotal,
}];

/// Revision 2 says what the items cost together, so that nobody has to know how that comes about.
fn with_subtotal(payload: &mut OldPayload) -> Result<(), UpcastError> {
    let price: Money = payload.get("price")?;
    let quantity: i32 = payload.get("quantity")?;
    payload.set("subtotal", price.times(quantity))
}
