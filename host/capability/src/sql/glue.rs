//! The WIT interface `weft:sql` over a `Database`.
