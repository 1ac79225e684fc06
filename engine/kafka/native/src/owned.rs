//! Pointers that librdkafka has given us, and that it wants back.

use std::ffi::{CStr, c_char};
use std::ptr::NonNull;

/// Owns what is behind a pointer, and gives it back by the function that librdkafka has for it.
pub(crate) struct Owned<T> {
    pointer: NonNull<T>,
    give_back: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    /// `None` for a null pointer.
    ///
    /// # Safety
    /// The pointer is null, or nobody else gives it back, and `give_back` is how that is done.
    pub(crate) unsafe fn new(pointer: *mut T, give_back: unsafe extern "C" fn(*mut T)) -> Option<Self> {
        Some(Self {
            pointer: NonNull::new(pointer)?,
            give_back,
        })
    }

    pub(crate) fn as_ptr(&self) -> *mut T {
        self.pointer.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: by the contract of `new` it is ours, and this is how it is given back; once, because this drops once.
        unsafe { (self.give_back)(self.pointer.as_ptr()) }
    }
}

/// Copies a text of librdkafka's; nothing for a null pointer.
///
/// # Safety
/// The pointer is null, or that of a text that ends with a zero and stays as it is during this call.
pub(crate) unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: it is not null, and the rest is what the caller has promised.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_string_lossy().into_owned()
}

/// Room for librdkafka to say what is wrong.
pub(crate) struct Complaint([c_char; 512]);

impl Complaint {
    pub(crate) fn new() -> Self {
        Self([0; 512])
    }

    /// Where it may write, and how much.
    pub(crate) fn room(&mut self) -> (*mut c_char, usize) {
        (self.0.as_mut_ptr(), self.0.len())
    }
}

impl std::fmt::Display for Complaint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // SAFETY: librdkafka ends what it writes with a zero within the room; if it wrote nothing, the first byte is one.
        formatter.write_str(&unsafe { text(self.0.as_ptr()) })
    }
}
