//! `ringfence up`.

mod file;
