#include "shard/lookup_placement.h"

#include <utility>

namespace vitrail::shard {
namespace {

class Placement : public Vindex {
 public:
  explicit Placement(std::shared_ptr<const Lookup> lookup)
      : Vindex(lookup->type, lookup->name), lookup_(std::move(lookup)) {}

  int cost() const override { return lookup_->cost; }
  int min_columns() const override { return max_columns(); }
  int max_columns() const override { return static_cast<int>(lookup_->from.size()); }
  bool is_combinable() const override { return false; }
  Status map_into(std::span<const VindexValue>, Destination&) const override {
    return fail(Code::kUnimplemented, "VT12001: unsupported: this statement on a table whose rows are placed by " +
                                          name() + ", a lookup vindex");
  }
  const std::shared_ptr<const Lookup>& lookup() const { return lookup_; }

 private:
  std::shared_ptr<const Lookup> lookup_;
};

}  // namespace

std::shared_ptr<const Vindex> create_placement(std::shared_ptr<const Lookup> lookup) {
  return std::make_shared<Placement>(std::move(lookup));
}

std::shared_ptr<const Lookup> placing_lookup(const Vindex& vindex) {
  const auto* placement = dynamic_cast<const Placement*>(&vindex);
  return placement == nullptr ? nullptr : placement->lookup();
}

}  // namespace vitrail::shard
