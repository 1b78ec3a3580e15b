#include "mysql/binlog_json_patch.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "mysql/binlog_json.h"

namespace vitrail::mysql {
namespace {

constexpr int kDepthMax = 100;

struct Node {
  enum class Kind : uint8_t { kScalar, kArray, kObject };
  Kind kind = Kind::kScalar;
  std::string text;                // kScalar.
  std::vector<std::string> names;  // kObject: one for each part, by length, then by bytes.
  std::vector<Node> parts;
};

bool name_before(std::string_view a, std::string_view b) { return a.size() != b.size() ? a.size() < b.size() : a < b; }

// Types 0 to 3 are small and large objects and arrays: see binlog_json.cc for the format.
bool read_node(uint8_t type, BinlogBytes bytes, int depth, Node& node) {
  constexpr uint8_t kLiteral = 4;
  if (depth > kDepthMax) return false;
  if (type >= kLiteral) return append_binary_json_scalar(type, bytes, node.text);
  const bool object = type < 2;
  const size_t width = type % 2 == 0 ? 2 : 4;
  node.kind = object ? Node::Kind::kObject : Node::Kind::kArray;
  BinlogReader in(bytes);
  const uint64_t count = in.little_endian(width);
  const uint64_t size = in.little_endian(width);
  const uint64_t entries = 2 * width + (object ? count * (width + 2) : 0) + count * (width + 1);
  if (!in.ok() || size > bytes.size() || entries > size) return false;
  bytes = bytes.first(size);
  node.parts.resize(count);
  for (uint64_t i = 0; object && i < count; ++i) {
    const uint64_t offset = in.little_endian(width);
    const uint64_t length = in.u16();
    if (offset > size || length > size - offset) return false;
    node.names.emplace_back(as_text(bytes.subspan(offset, length)));
  }
  for (Node& part : node.parts) {
    const uint8_t part_type = in.u8();
    const BinlogBytes slot = in.bytes(width);
    // Literals and 16-bit numbers, in large containers also 32-bit ones, lie in the entry itself.
    const bool inlined = part_type >= kLiteral && part_type <= (width == 4 ? 8 : 6);
    const uint64_t offset = BinlogReader(slot).little_endian(width);
    if (!inlined && (offset < entries || offset > size)) return false;
    if (!read_node(part_type, inlined ? slot : bytes.subspan(offset), depth + 1, part)) return false;
  }
  return in.ok();
}

bool read_value(BinlogBytes bytes, Node& node) {
  node = Node();
  if (bytes.empty()) {
    node.text = "null";
    return true;
  }
  return read_node(bytes[0], bytes.subspan(1), 0, node);
}

void print(const Node& node, std::string& out) {
  if (node.kind == Node::Kind::kScalar) {
    out += node.text;
    return;
  }
  const bool object = node.kind == Node::Kind::kObject;
  out += object ? '{' : '[';
  for (size_t i = 0; i < node.parts.size(); ++i) {
    if (i > 0) out += ", ";
    if (object) {
      append_json_string(node.names[i], out);
      out += ": ";
    }
    print(node.parts[i], out);
  }
  out += object ? '}' : ']';
}

struct Leg {
  std::optional<std::string> name;  // Of a member; else the index of a cell.
  size_t index = 0;
};

// $.name, $."quoted", $[3], and these one behind the other.
std::optional<std::vector<Leg>> read_path(std::string_view path) {
  if (!path.starts_with('$')) return std::nullopt;
  path.remove_prefix(1);
  std::vector<Leg> legs;
  while (!path.empty()) {
    Leg leg;
    if (path.starts_with('[')) {
      const size_t end = path.find(']');
      if (end == std::string_view::npos) return std::nullopt;
      const auto [stop, error] = std::from_chars(path.data() + 1, path.data() + end, leg.index);
      if (error != std::errc() || stop != path.data() + end) return std::nullopt;
      path.remove_prefix(end + 1);
    } else if (path.starts_with(".\"")) {
      size_t end = 2;
      while (end < path.size() && path[end] != '"') end += path[end] == '\\' ? 2 : 1;
      if (end >= path.size()) return std::nullopt;
      const auto name = nlohmann::json::parse(path.substr(1, end), nullptr, false);
      if (!name.is_string()) return std::nullopt;
      leg.name = name.get<std::string>();
      path.remove_prefix(end + 1);
    } else if (path.starts_with('.')) {
      path.remove_prefix(1);
      leg.name = path.substr(0, path.find_first_of(".["));
      path.remove_prefix(leg.name->size());
    } else {
      return std::nullopt;
    }
    legs.push_back(std::move(leg));
  }
  return legs;
}

// Where the leg leads within the node: an index of its parts. Behind the last one: what is not there.
size_t find_part(const Node& node, const Leg& leg) {
  if (!leg.name) return node.kind == Node::Kind::kArray ? std::min(leg.index, node.parts.size()) : node.parts.size();
  if (node.kind != Node::Kind::kObject) return node.parts.size();
  const auto found = std::ranges::find(node.names, *leg.name);
  return static_cast<size_t>(found - node.names.begin());
}

bool insert(Node& node, const Leg& leg, Node value) {
  if (!leg.name) {
    if (node.kind != Node::Kind::kArray) return false;
    node.parts.insert(node.parts.begin() + static_cast<ptrdiff_t>(find_part(node, leg)), std::move(value));
    return true;
  }
  if (node.kind != Node::Kind::kObject || find_part(node, leg) != node.parts.size()) return false;
  const auto at = std::ranges::lower_bound(node.names, *leg.name, name_before);
  node.parts.insert(node.parts.begin() + (at - node.names.begin()), std::move(value));
  node.names.insert(at, *leg.name);
  return true;
}

enum class Operation : uint8_t { kReplace, kInsert, kRemove };

bool apply(Node& root, Operation operation, const std::vector<Leg>& legs, Node value) {
  if (legs.empty()) {
    if (operation != Operation::kReplace) return false;
    root = std::move(value);
    return true;
  }
  Node* node = &root;
  for (size_t i = 0; i + 1 < legs.size(); ++i) {
    const size_t part = find_part(*node, legs[i]);
    if (part == node->parts.size()) return false;
    node = &node->parts[part];
  }
  const Leg& last = legs.back();
  if (operation == Operation::kInsert) return insert(*node, last, std::move(value));
  const size_t part = find_part(*node, last);
  if (part == node->parts.size()) return false;
  if (operation == Operation::kReplace) {
    node->parts[part] = std::move(value);
  } else {
    node->parts.erase(node->parts.begin() + static_cast<ptrdiff_t>(part));
    if (last.name) node->names.erase(node->names.begin() + static_cast<ptrdiff_t>(part));
  }
  return true;
}

}  // namespace

Status append_changed_json(BinlogBytes before, BinlogBytes changes, std::string& out) {
  const auto malformed = [] { return fail(Code::kDataLoss, "malformed change of a JSON value in the binary log"); };
  Node root;
  if (!read_value(before, root)) return malformed();
  BinlogReader in(changes);
  while (in.remaining() > 0) {
    const uint8_t operation = in.u8();
    if (operation > static_cast<uint8_t>(Operation::kRemove)) return malformed();
    const auto path = read_path(in.text(in.lenenc()));
    Node value;
    if (static_cast<Operation>(operation) != Operation::kRemove && !read_value(in.bytes(in.lenenc()), value)) {
      return malformed();
    }
    if (!in.ok() || !path || !apply(root, static_cast<Operation>(operation), *path, std::move(value))) {
      return malformed();
    }
  }
  print(root, out);
  return {};
}

}  // namespace vitrail::mysql
