//! Folds samples into what people ask.
