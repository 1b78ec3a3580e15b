#pragma once

#include <google/protobuf/message_lite.h>

#include "topo/paths.h"
#include "topo/record.h"

// Internal to topo: records through a store, with the same errors and the same way to retry everywhere.
namespace vitrail::topo::internal {

// "keyspace commerce": what an error message calls the record.
using What = std::string;

template <typename Message>
Result<Message> parse_record(const std::string& data, const What& what) {
  Message message;
  if (!message.ParseFromString(data)) {
    return fail(Code::kDataLoss, "the topology record of " + what + " cannot be decoded");
  }
  return message;
}

// Deterministic bytes, so that equal records compare equal (maps have no order of their own).
std::string serialize_record(const google::protobuf::MessageLite& message);

// The store's error, told in the words of the record.
Error tell(Error error, const What& what);

template <typename Message>
net::Task<Result<Versioned<Message>>> read_record(Store& store, std::string path, What what, net::Wait wait = {}) {
  auto stored = co_await store.get(std::move(path), std::move(wait));
  if (!stored.ok()) co_return tell(std::move(stored).error(), what);
  CO_ASSIGN_OR_RETURN(Message message, parse_record<Message>(stored->data, what));
  co_return Versioned<Message>{std::move(message), stored->version};
}

// Makes a record with nothing in it, or finds that there is one. Its version is what a guarded write depends on: a
// write that creates would depend on nothing, and could come long after others have taken back what it belongs to.
net::Task<Status> create_empty(Store& store, std::string path);

// Reads, lets `fn` change, writes, until nobody came in between. `missing`: start from an empty record when there is
// none. `store` must outlive the call. `wait` is for each of its operations.
template <typename Message>
net::Task<Result<Versioned<Message>>> update_record(Store& store, std::string path, What what, UpdateFn<Message> fn,
                                                    std::optional<Fence> fence, bool create_missing,
                                                    WriteGuard guard = {}, net::Wait wait = {}) {
  for (int attempt = 0; attempt < kMaxUpdateAttempts; ++attempt) {
    auto read = co_await read_record<Message>(store, path, what, wait);
    const bool missing = !read.ok() && read.error().code() == Code::kNotFound && create_missing;
    if (!read.ok() && !missing) co_return std::move(read).error();
    Versioned<Message> current;
    if (!missing) current = std::move(*read);
    CO_ASSIGN_OR_RETURN(const bool changed, fn(current.record));
    // Under a guard also what is right already is written: a writer before, paused between its guard and its write,
    // must find another version.
    if (!changed && (!guard || missing)) co_return current;
    if (guard && missing) {
      CO_RETURN_IF_ERROR(co_await create_empty(store, path));
      continue;
    }
    if (guard) CO_RETURN_IF_ERROR(co_await guard());
    std::string data = serialize_record(current.record);
    WriteOptions options{.fence = fence, .wait = wait};
    auto written = missing ? co_await store.create(path, std::move(data), std::move(options))
                           : co_await store.update(path, std::move(data), current.version, std::move(options));
    if (written.ok()) {
      current.version = *written;
      co_return current;
    }
    const Code code = written.error().code();
    const bool conflict = code == Code::kAborted || (missing && code == Code::kAlreadyExists);
    if (!conflict) co_return tell(std::move(written).error(), what);
  }
  co_return fail(Code::kAborted, "the topology record of " + what + " is changed by others all the time; try again");
}

// Names directly below a directory, sorted; none when it does not exist. Lock directories are left out.
net::Task<Result<std::vector<std::string>>> names_below(Store& store, std::string dir);
// Collects what failed for several items, as "<item>: <message>; ...".
class FailureList {
 public:
  void add(std::string_view item, const Error& error);
  bool empty() const { return text_.empty(); }
  // Code of the first failure.
  Error error(std::string_view doing) const;

 private:
  std::string text_;
  Code code_ = Code::kOk;
};

}  // namespace vitrail::topo::internal
