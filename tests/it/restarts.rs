//! Services that stop and start, alone or side by side: nothing is lost, nothing happens twice.

mod busy;
mod folders;
mod in_the_middle;
mod left_open;
mod side_by_side;
