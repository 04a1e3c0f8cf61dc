//! What a worker and its supervisor know of each task without a message.
