// VSchemas and rules as JSON, as operators write them: any text is read or refused, and what was read says the same
// when it is printed and read again.
#include <google/protobuf/util/message_differencer.h>

#include <cstdint>
#include <cstdlib>

#include "vschema.pb.h"
#include "vschema/proto_json.h"
#include "vschema/vschema.h"

namespace {

namespace rules = vitrail::vschema;

template <typename Message>
void read_and_read_again(std::string_view text) {
  Message first;
  std::vector<std::string> unknown;
  if (!rules::parse_json(text, first, &unknown).ok()) return;
  for (const bool all : {false, true}) {
    Message second;
    const std::string printed = rules::to_json(first, {.unpopulated = all});
    // What was kept of a vschema shows again as unknown.
    if (!rules::parse_json(printed, second, unknown.empty() ? nullptr : &unknown).ok()) std::abort();
    if (!google::protobuf::util::MessageDifferencer::Equals(first, second)) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  read_and_read_again<::vschema::Keyspace>(text);
  read_and_read_again<::vschema::RoutingRules>(text);
  ::vschema::Keyspace keyspace;
  std::vector<std::string> unknown;
  if (rules::parse_json(text, keyspace, &unknown).ok()) {
    (void)rules::find_problems("ks", keyspace);
    (void)rules::find_warnings("ks", keyspace);
    (void)rules::unknown_vindex_parameters("ks", keyspace);
  }
  return 0;
}
