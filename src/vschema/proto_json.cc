#include "vschema/proto_json.h"

#include <algorithm>
#include <cmath>

#include <fmt/core.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/unknown_field_set.h>
#include <google/protobuf/util/json_util.h>
#include <nlohmann/json.hpp>

namespace vitrail::vschema {

namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using nlohmann::ordered_json;

constexpr size_t kMaxText = size_t{16} << 20;

// Whether a message keeps what its JSON text had and it does not have.
bool keeps_unknown(const Descriptor& type) { return type.full_name() == "vschema.Keyspace"; }

// Removes from `value` the fields that `type` does not have, and collects them.
class UnknownFields {
 public:
  explicit UnknownFields(std::vector<std::string>& found) : found_(found) {}
  const nlohmann::json& values() const { return values_; }

  void strip_message(const Descriptor& type, nlohmann::json& value, const std::string& path,
                     const nlohmann::json::json_pointer& pointer = nlohmann::json::json_pointer()) {
    if (!value.is_object()) return;  // The converter says what is wrong.
    for (auto it = value.begin(); it != value.end();) {
      const FieldDescriptor* field = type.FindFieldByName(it.key());
      if (field == nullptr) field = type.FindFieldByCamelcaseName(it.key());
      const std::string place = path.empty() ? it.key() : path + "." + it.key();
      if (field == nullptr) {
        found_.push_back(place);
        values_[(pointer / it.key()).to_string()] = it.value();
        it = value.erase(it);
        continue;
      }
      strip_field(*field, it.value(), place, pointer / it.key());
      ++it;
    }
  }

 private:
  void strip_field(const FieldDescriptor& field, nlohmann::json& value, const std::string& path,
                   const nlohmann::json::json_pointer& pointer) {
    if (field.is_map()) {
      const FieldDescriptor& element = *field.message_type()->map_value();
      if (element.message_type() == nullptr || !value.is_object()) return;
      for (auto& [key, item] : value.items()) {
        strip_message(*element.message_type(), item, path + "." + key, pointer / key);
      }
    } else if (field.message_type() == nullptr) {
      return;
    } else if (field.is_repeated()) {
      if (!value.is_array()) return;
      for (size_t i = 0; i < value.size(); ++i) {
        strip_message(*field.message_type(), value[i], fmt::format("{}[{}]", path, i), pointer / i);
      }
    } else {
      strip_message(*field.message_type(), value, path, pointer);
    }
  }

  std::vector<std::string>& found_;
  nlohmann::json values_ = nlohmann::json::object();  // By place (RFC 6901).
};

Result<nlohmann::json> read_json(std::string_view text) {
  if (text.size() > kMaxText) {
    return fail(Code::kInvalidArgument, fmt::format("JSON text is larger than {} bytes", kMaxText));
  }
  try {
    return nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& error) {
    const std::string_view what = error.what();  // "[json.exception.parse_error.101] parse error at line 1, ..."
    const size_t close = what.find("] ");
    return fail(Code::kInvalidArgument,
                fmt::format("malformed JSON: {}", close == std::string_view::npos ? what : what.substr(close + 2)));
  }
}

std::string base64(std::string_view bytes) {
  constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    const size_t n = std::min<size_t>(3, bytes.size() - i);
    for (size_t k = 0; k < 3; ++k) group = group << 8 | (k < n ? static_cast<unsigned char>(bytes[i + k]) : 0);
    for (size_t k = 0; k < 4; ++k) out += k <= n ? kAlphabet[group >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

ordered_json json_of(const Message& message, const JsonStyle& style);

ordered_json real(double value) {
  // 50, not 50.0.
  if (std::abs(value) < 1e15 && value == std::trunc(value)) return static_cast<int64_t>(value);
  return value;
}

template <typename Integer>
ordered_json wide(Integer value, const JsonStyle& style) {
  return style.plain ? ordered_json(value) : ordered_json(std::to_string(value));
}

// The value of a singular field, or of element `index` of a repeated one.
ordered_json value_of(const Message& message, const FieldDescriptor* field, int index, const JsonStyle& style) {
  const Reflection& r = *message.GetReflection();
  const bool one = index < 0;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return one ? r.GetInt32(message, field) : r.GetRepeatedInt32(message, field, index);
    case FieldDescriptor::CPPTYPE_UINT32:
      return one ? r.GetUInt32(message, field) : r.GetRepeatedUInt32(message, field, index);
    case FieldDescriptor::CPPTYPE_INT64:
      return wide(one ? r.GetInt64(message, field) : r.GetRepeatedInt64(message, field, index), style);
    case FieldDescriptor::CPPTYPE_UINT64:
      return wide(one ? r.GetUInt64(message, field) : r.GetRepeatedUInt64(message, field, index), style);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return real(one ? r.GetDouble(message, field) : r.GetRepeatedDouble(message, field, index));
    case FieldDescriptor::CPPTYPE_FLOAT:
      // Through its own shortest digits: 0.1f is 0.1, not 0.10000000149.
      return real(
          std::stod(fmt::format("{}", one ? r.GetFloat(message, field) : r.GetRepeatedFloat(message, field, index))));
    case FieldDescriptor::CPPTYPE_BOOL:
      return one ? r.GetBool(message, field) : r.GetRepeatedBool(message, field, index);
    case FieldDescriptor::CPPTYPE_ENUM: {
      const int number = one ? r.GetEnumValue(message, field) : r.GetRepeatedEnumValue(message, field, index);
      const auto* value = field->enum_type()->FindValueByNumber(number);
      return value == nullptr || style.plain ? ordered_json(number) : ordered_json(value->name());
    }
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string text = one ? r.GetString(message, field) : r.GetRepeatedString(message, field, index);
      return field->type() == FieldDescriptor::TYPE_BYTES ? base64(text) : text;
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return json_of(one ? r.GetMessage(message, field) : r.GetRepeatedMessage(message, field, index), style);
  }
  return nullptr;
}

ordered_json map_of(const Message& message, const FieldDescriptor* field, const JsonStyle& style) {
  const Reflection& r = *message.GetReflection();
  const FieldDescriptor* key = field->message_type()->map_key();
  const FieldDescriptor* value = field->message_type()->map_value();
  std::vector<std::pair<std::string, const Message*>> entries;
  for (int i = 0; i < r.FieldSize(message, field); ++i) {
    const Message& entry = r.GetRepeatedMessage(message, field, i);
    const ordered_json name = value_of(entry, key, -1, style);
    entries.emplace_back(name.is_string() ? name.get<std::string>() : name.dump(), &entry);
  }
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  ordered_json out = ordered_json::object();
  for (const auto& [name, entry] : entries) out[name] = value_of(*entry, value, -1, style);
  return out;
}

// Fields of the older generation that today's tools do not know: they are shown when they are set.
bool is_older(const FieldDescriptor& field) { return field.name() == "served_froms" || field.name() == "served_from"; }

// Puts what was kept of the text back into its places; what has lost its place since then stays out.
void show_kept(const Message& message, ordered_json& out) {
  const auto& fields = message.GetReflection()->GetUnknownFields(message);
  for (int i = 0; i < fields.field_count(); ++i) {
    const auto& field = fields.field(i);
    using Unknown = google::protobuf::UnknownField;
    if (field.number() != kKeptFieldNumber || field.type() != Unknown::TYPE_LENGTH_DELIMITED) continue;
    const auto kept = ordered_json::parse(field.length_delimited(), nullptr, /*allow_exceptions=*/false);
    if (!kept.is_object()) continue;  // Not written by us.
    for (const auto& [place, value] : kept.items()) {
      try {
        const ordered_json::json_pointer pointer(place);
        if (pointer.empty() || !out.contains(pointer.parent_pointer())) continue;
        ordered_json& parent = out[pointer.parent_pointer()];
        if (parent.is_object() && !parent.contains(pointer.back())) parent[pointer.back()] = value;
      } catch (const nlohmann::json::exception&) {  // No place.
        continue;
      }
    }
  }
}

ordered_json json_of(const Message& message, const JsonStyle& style) {
  const Reflection& r = *message.GetReflection();
  const Descriptor& type = *message.GetDescriptor();
  ordered_json out = ordered_json::object();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor* field = type.field(i);
    if (field->is_repeated()) {
      if (r.FieldSize(message, field) == 0 && (!style.unpopulated || is_older(*field))) continue;
      if (field->is_map()) {
        out[field->name()] = map_of(message, field, style);
        continue;
      }
      ordered_json list = ordered_json::array();
      for (int k = 0; k < r.FieldSize(message, field); ++k) list.push_back(value_of(message, field, k, style));
      out[field->name()] = std::move(list);
    } else if (r.HasField(message, field)) {
      out[field->name()] = value_of(message, field, -1, style);
    } else if (style.unpopulated && field->containing_oneof() == nullptr) {
      out[field->name()] = field->message_type() != nullptr ? ordered_json() : value_of(message, field, -1, style);
    }
  }
  if (keeps_unknown(type)) show_kept(message, out);
  return out;
}

}  // namespace

bool has_kept_fields(const Message& keyspace) {
  const auto& fields = keyspace.GetReflection()->GetUnknownFields(keyspace);
  for (int i = 0; i < fields.field_count(); ++i) {
    if (fields.field(i).number() == kKeptFieldNumber) return true;
  }
  return false;
}

std::string escape_markup(std::string_view json) {
  std::string out;
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (c == '<' || c == '>' || c == '&') {
      out += fmt::format("\\u{:04x}", static_cast<int>(c));
    } else if (json.substr(i, 3) == "\xef\xbf\xbd") {  // What stands for bytes that are not UTF-8.
      out += "\\ufffd";
      i += 2;
    } else {
      out += c;
    }
  }
  return out;
}

Status parse_json(std::string_view text, Message& out, std::vector<std::string>* unknown_fields) {
  ASSIGN_OR_RETURN(nlohmann::json json, read_json(text));
  if (!json.is_object()) return fail(Code::kInvalidArgument, "malformed JSON: an object is expected");
  std::vector<std::string> unknown;
  UnknownFields stripped(unknown);
  stripped.strip_message(*out.GetDescriptor(), json, "");
  if (!unknown.empty()) {
    if (unknown_fields == nullptr) {
      return fail(Code::kInvalidArgument, fmt::format("unknown field {}", unknown.front()));
    }
    unknown_fields->insert(unknown_fields->end(), unknown.begin(), unknown.end());
  }
  out.Clear();
  const auto status = google::protobuf::util::JsonStringToMessage(json.dump(), &out);
  if (!status.ok()) {
    const auto message = status.message();
    return fail(Code::kInvalidArgument,
                fmt::format("malformed JSON: {}", std::string_view(message.data(), message.size())));
  }
  if (!unknown.empty() && keeps_unknown(*out.GetDescriptor())) {
    out.GetReflection()->MutableUnknownFields(&out)->AddLengthDelimited(kKeptFieldNumber, stripped.values().dump());
  }
  return {};
}

std::string to_json(const Message& message, JsonStyle style) {
  const std::string text =
      json_of(message, style).dump(style.indent, ' ', false, ordered_json::error_handler_t::replace);
  return style.plain ? escape_markup(text) : text;
}

}  // namespace vitrail::vschema
