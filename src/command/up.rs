//! `ringfence up`.

mod crew;
mod file;
