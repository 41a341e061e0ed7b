//! Which pictures look alike: small vectors, clusters, outliers and near-duplicates.
//!
//! Contract: imports `domain`; pure. It gets vectors of bytes and returns numbers per sample; who makes the vectors and who
//! keeps the numbers is not known here.
