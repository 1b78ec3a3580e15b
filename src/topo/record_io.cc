#include "topo/record_io.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

namespace vitrail::topo::internal {

std::string serialize_record(const google::protobuf::MessageLite& message) {
  std::string data;
  {
    google::protobuf::io::StringOutputStream raw(&data);
    google::protobuf::io::CodedOutputStream coded(&raw);
    coded.SetSerializationDeterministic(true);
    message.SerializeToCodedStream(&coded);
  }
  return data;
}

Error tell(Error error, const What& what) {
  if (error.code() == Code::kNotFound) return fail(Code::kNotFound, what + " does not exist in the topology");
  if (error.code() == Code::kAlreadyExists) return fail(Code::kAlreadyExists, what + " exists already in the topology");
  return std::move(error).with_context(what);
}

net::Task<Status> create_empty(Store& store, std::string path) {
  auto created = co_await store.create(std::move(path), "");
  if (created.ok() || created.error().code() == Code::kAlreadyExists) co_return Status{};
  co_return std::move(created).error();
}

net::Task<Result<std::vector<std::string>>> names_below(Store& store, std::string dir) {
  auto entries = co_await store.list_dir(std::move(dir));
  if (!entries.ok()) {
    if (entries.error().code() == Code::kNotFound) co_return std::vector<std::string>{};
    co_return std::move(entries).error();
  }
  std::vector<std::string> names;
  for (auto& entry : *entries) {
    if (entry.name != "locks") names.push_back(std::move(entry.name));
  }
  co_return names;
}

void FailureList::add(std::string_view item, const Error& error) {
  if (text_.empty())
    code_ = error.code();
  else
    text_ += "; ";
  text_ += std::string(item) + ": " + error.message();
}

Error FailureList::error(std::string_view doing) const {
  return Error(code_ == Code::kOk ? Code::kInternal : code_, std::string(doing) + ": " + text_);
}

}  // namespace vitrail::topo::internal
