#include "topo/decode.h"

#include <fmt/core.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "shardingworkflow.pb.h"
#include "workflow.pb.h"
#include "topo/paths.h"
#include "topodata.pb.h"
#include "vschema.pb.h"
#include "workflowdata.pb.h"

namespace vitrail::topo {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

void print_message(const Message& message, std::string& out);

// Length of the UTF-8 character at the start of `text`, 0 when there is none.
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto continues = [&](size_t i) { return i < text.size() && (byte(i) & 0xc0) == 0x80; };
  if (text.empty()) return 0;
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return continues(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    if (!continues(1) || !continues(2)) return 0;
    if (first == 0xe0 && byte(1) < 0xa0) return 0;  // Overlong.
    if (first == 0xed && byte(1) > 0x9f) return 0;  // Surrogates.
    return 3;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    if (!continues(1) || !continues(2) || !continues(3)) return 0;
    if (first == 0xf0 && byte(1) < 0x90) return 0;
    if (first == 0xf4 && byte(1) > 0x8f) return 0;
    return 4;
  }
  return 0;
}

void print_quoted(std::string_view value, std::string& out) {
  out += '"';
  while (!value.empty()) {
    const size_t length = utf8_length(value);
    const auto first = static_cast<unsigned char>(value[0]);
    if (length > 1) {
      out += value.substr(0, length);
      value.remove_prefix(length);
      continue;
    }
    value.remove_prefix(1);
    switch (first) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      default:
        if (length == 0 || first < 0x20 || first == 0x7f)
          out += fmt::format("\\x{:02x}", first);
        else
          out += static_cast<char>(first);
    }
  }
  out += '"';
}

// As it is when it is text; else its bytes escaped, since answers hold text only.
std::string printable(std::string_view data) {
  for (std::string_view rest = data; !rest.empty();) {
    const size_t length = utf8_length(rest);
    if (length == 0) {
      std::string quoted;
      print_quoted(data, quoted);
      return quoted.substr(1, quoted.size() - 2);
    }
    rest.remove_prefix(length);
  }
  return std::string(data);
}

std::string print_real(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return fmt::format("{}", value);
}

// `index` < 0: the field is not repeated.
void print_value(const Message& message, const FieldDescriptor& field, int index, std::string& out) {
  const Reflection& reflection = *message.GetReflection();
  const bool repeated = index >= 0;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      out += std::to_string(repeated ? reflection.GetRepeatedInt32(message, &field, index)
                                     : reflection.GetInt32(message, &field));
      return;
    case FieldDescriptor::CPPTYPE_INT64:
      out += std::to_string(repeated ? reflection.GetRepeatedInt64(message, &field, index)
                                     : reflection.GetInt64(message, &field));
      return;
    case FieldDescriptor::CPPTYPE_UINT32:
      out += std::to_string(repeated ? reflection.GetRepeatedUInt32(message, &field, index)
                                     : reflection.GetUInt32(message, &field));
      return;
    case FieldDescriptor::CPPTYPE_UINT64:
      out += std::to_string(repeated ? reflection.GetRepeatedUInt64(message, &field, index)
                                     : reflection.GetUInt64(message, &field));
      return;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      out += print_real(repeated ? reflection.GetRepeatedDouble(message, &field, index)
                                 : reflection.GetDouble(message, &field));
      return;
    case FieldDescriptor::CPPTYPE_FLOAT: {
      const float value =
          repeated ? reflection.GetRepeatedFloat(message, &field, index) : reflection.GetFloat(message, &field);
      out +=
          std::isfinite(value) ? fmt::format("{}", value) : print_real(value);  // As a float: 0.1, not 0.10000000149.
      return;
    }
    case FieldDescriptor::CPPTYPE_BOOL:
      out += (repeated ? reflection.GetRepeatedBool(message, &field, index) : reflection.GetBool(message, &field))
                 ? "true"
                 : "false";
      return;
    case FieldDescriptor::CPPTYPE_ENUM: {
      const int number =
          repeated ? reflection.GetRepeatedEnumValue(message, &field, index) : reflection.GetEnumValue(message, &field);
      const auto* value = field.enum_type()->FindValueByNumber(number);
      out += value != nullptr ? value->name() : std::to_string(number);
      return;
    }
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string scratch;
      print_quoted(repeated ? reflection.GetRepeatedStringReference(message, &field, index, &scratch)
                            : reflection.GetStringReference(message, &field, &scratch),
                   out);
      return;
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      out += '{';
      print_message(
          repeated ? reflection.GetRepeatedMessage(message, &field, index) : reflection.GetMessage(message, &field),
          out);
      out += '}';
      return;
  }
}

std::string_view printed_name(const FieldDescriptor& field) {
  if (field.full_name() == "topodata.Shard.TabletControl.denied_tables") return "denylisted_tables";
  return field.name();
}

void begin_field(std::string_view name, std::string& out, bool& first) {
  if (!first) out += ' ';
  first = false;
  out += name;
  out += ':';
}

bool key_before(const Message& a, const Message& b, const FieldDescriptor& key) {
  const Reflection& reflection = *a.GetReflection();
  switch (key.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string scratch_a;
      std::string scratch_b;
      return reflection.GetStringReference(a, &key, &scratch_a) < reflection.GetStringReference(b, &key, &scratch_b);
    }
    case FieldDescriptor::CPPTYPE_INT32: return reflection.GetInt32(a, &key) < reflection.GetInt32(b, &key);
    case FieldDescriptor::CPPTYPE_INT64: return reflection.GetInt64(a, &key) < reflection.GetInt64(b, &key);
    case FieldDescriptor::CPPTYPE_UINT32: return reflection.GetUInt32(a, &key) < reflection.GetUInt32(b, &key);
    case FieldDescriptor::CPPTYPE_UINT64: return reflection.GetUInt64(a, &key) < reflection.GetUInt64(b, &key);
    case FieldDescriptor::CPPTYPE_BOOL: return reflection.GetBool(a, &key) < reflection.GetBool(b, &key);
    default: return false;
  }
}

void print_map(const Message& message, const FieldDescriptor& field, std::string& out, bool& first) {
  const Reflection& reflection = *message.GetReflection();
  const FieldDescriptor& key = *field.message_type()->map_key();
  const FieldDescriptor& value = *field.message_type()->map_value();
  std::vector<const Message*> entries;
  for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
    entries.push_back(&reflection.GetRepeatedMessage(message, &field, i));
  }
  std::ranges::sort(entries, [&](const Message* a, const Message* b) { return key_before(*a, *b, key); });
  for (const Message* entry : entries) {
    begin_field(printed_name(field), out, first);
    out += "{key:";  // Both parts always, even where they are zero.
    print_value(*entry, key, -1, out);
    out += " value:";
    print_value(*entry, value, -1, out);
    out += '}';
  }
}

void print_message(const Message& message, std::string& out) {
  const Reflection& reflection = *message.GetReflection();
  bool first = true;
  const Descriptor& type = *message.GetDescriptor();
  for (int k = 0; k < type.field_count(); ++k) {
    const FieldDescriptor* field = type.field(k);
    if (field->is_map()) {
      print_map(message, *field, out, first);
    } else if (field->is_repeated()) {
      for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
        begin_field(printed_name(*field), out, first);
        print_value(message, *field, i, out);
      }
    } else if (reflection.HasField(message, field)) {
      begin_field(printed_name(*field), out, first);
      print_value(message, *field, -1, out);
    }
  }
}

}  // namespace

std::unique_ptr<Message> message_for_path(std::string_view path) {
  while (path.starts_with('/')) path.remove_prefix(1);
  const size_t slash = path.rfind('/');
  const std::string_view name = slash == std::string_view::npos ? path : path.substr(slash + 1);
  if (name == kCellInfoFile) return std::make_unique<::topodata::CellInfo>();
  if (name == kCellsAliasFile) return std::make_unique<::topodata::CellsAlias>();
  if (name == kKeyspaceFile) return std::make_unique<::topodata::Keyspace>();
  if (name == kShardFile) return std::make_unique<::topodata::Shard>();
  if (name == kVSchemaFile) return std::make_unique<::vschema::Keyspace>();
  if (name == kShardReplicationFile) return std::make_unique<::topodata::ShardReplication>();
  if (name == kTabletFile) return std::make_unique<::topodata::Tablet>();
  if (name == kSrvKeyspaceFile) return std::make_unique<::topodata::SrvKeyspace>();
  if (name == kSrvVSchemaFile) return std::make_unique<::vschema::SrvVSchema>();
  if (name == kRoutingRulesFile) return std::make_unique<::vschema::RoutingRules>();
  if (name == kShardRoutingRulesFile) return std::make_unique<::vschema::ShardRoutingRules>();
  if (name == kMirrorRulesFile) return std::make_unique<::vschema::MirrorRules>();
  if (name == kShardingWorkflowFile) return std::make_unique<::shardingworkflow::Record>();
  if (path.starts_with(kWorkflowsDir) && name == "Workflow") return std::make_unique<::workflow::Workflow>();
  if (name == "Record" && path.starts_with(std::string(kMovementDir) + "/")) {
    return std::make_unique<::workflowdata::Record>();
  }
  if (path == keyspace_routing_rules_path()) return std::make_unique<::vschema::KeyspaceRoutingRules>();
  if (slash != std::string_view::npos && path.substr(0, slash) == kExternalClustersDir) {
    return std::make_unique<::topodata::ExternalVitessCluster>();
  }
  return nullptr;
}

Result<std::unique_ptr<Message>> decode_record(std::string_view path, std::string_view data) {
  auto message = message_for_path(path);
  if (!message)
    return fail(Code::kInvalidArgument, "the path " + std::string(path) + " does not name a known kind of record");
  if (data.size() > kMaxDecodedBytes || !message->ParseFromArray(data.data(), static_cast<int>(data.size()))) {
    return fail(Code::kDataLoss,
                "the bytes at " + std::string(path) + " are not a " + message->GetDescriptor()->full_name());
  }
  return message;
}

std::string to_prototext(const Message& message) {
  std::string out;
  print_message(message, out);
  return out;
}

Result<std::string> to_json(const Message& message, JsonOptions options) {
  google::protobuf::util::JsonPrintOptions print;
  print.add_whitespace = options.pretty;
  print.always_print_primitive_fields = options.print_defaults;
  print.preserve_proto_field_names = options.proto_names;
  std::string out;
  const auto status = google::protobuf::util::MessageToJsonString(message, &out, print);
  if (!status.ok()) return fail(Code::kInternal, "cannot print a record as JSON: " + std::string(status.message()));
  return out;
}

Result<std::string> decode_to_prototext(std::string_view path, std::string_view data) {
  if (!message_for_path(path)) return printable(data);
  ASSIGN_OR_RETURN(const auto message, decode_record(path, data));
  return to_prototext(*message);
}

Result<std::string> decode_to_json(std::string_view path, std::string_view data, JsonOptions options) {
  ASSIGN_OR_RETURN(const auto message, decode_record(path, data));
  return to_json(*message, options);
}

}  // namespace vitrail::topo
