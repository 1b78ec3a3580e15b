#include "topo/serving_cache.h"

#include <filesystem>
#include <utility>

#include "base/file.h"
#include "serving_state.pb.h"
#include "topo/tablet.h"

namespace vitrail::topo {
namespace {

constexpr std::string_view kMagic = "vitrail serving state 1\n";

}  // namespace

Status save_serving_state(const std::string& file, const std::string& cell, const ServingState& state) {
  ::vitrailtopo::ServingState message;
  message.set_cell(cell);
  if (state.vschema != nullptr) *message.mutable_vschema() = *state.vschema;
  for (const auto& [name, record] : *state.keyspaces) {
    auto& keyspace = *message.add_keyspaces();
    keyspace.set_name(name);
    *keyspace.mutable_record() = *record;
  }
  for (const auto& [alias, record] : *state.tablets) *message.add_tablets() = *record;
  const size_t size = kMagic.size() + message.ByteSizeLong();
  if (size > kServingCacheBytesMax) {
    return fail(Code::kResourceExhausted, "the serving state is too large to be kept in " + file);
  }
  std::string bytes(kMagic);
  bytes.reserve(size);
  if (!message.AppendToString(&bytes)) return fail(Code::kInternal, "the serving state cannot be encoded");
  RETURN_IF_ERROR(base::make_directories(std::filesystem::path(file).parent_path()));
  return base::write_file_atomically(file, bytes);
}

Result<std::shared_ptr<const ServingState>> load_serving_state(const std::string& file, const std::string& cell) {
  ASSIGN_OR_RETURN(std::string bytes, base::read_file(file, kServingCacheBytesMax));
  const auto bad = [&](const char* why) { return fail(Code::kDataLoss, file + " " + why); };
  if (!bytes.starts_with(kMagic)) return bad("is no serving state of this version");
  ::vitrailtopo::ServingState message;
  if (!message.ParseFromArray(bytes.data() + kMagic.size(), static_cast<int>(bytes.size() - kMagic.size()))) {
    return bad("cannot be decoded");
  }
  if (message.cell() != cell) return bad("is of another cell");
  auto state = std::make_shared<ServingState>();
  if (message.has_vschema()) {
    state->vschema = std::make_shared<const ::vschema::SrvVSchema>(std::move(*message.mutable_vschema()));
  }
  auto keyspaces = std::make_shared<ServingState::Keyspaces>();
  for (auto& keyspace : *message.mutable_keyspaces()) {
    (*keyspaces)[keyspace.name()] =
        std::make_shared<const ::topodata::SrvKeyspace>(std::move(*keyspace.mutable_record()));
  }
  auto tablets = std::make_shared<ServingState::Tablets>();
  for (auto& tablet : *message.mutable_tablets()) {
    std::string alias = alias_to_string(tablet.alias());
    (*tablets)[std::move(alias)] = std::make_shared<const ::topodata::Tablet>(std::move(tablet));
  }
  state->keyspaces = std::move(keyspaces);
  state->tablets = std::move(tablets);
  state->complete = true;
  state->restored = true;
  return state;
}

}  // namespace vitrail::topo
