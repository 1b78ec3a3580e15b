#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vitrail::plan {

// A SELECT, UPDATE or DELETE in whose WHERE a list of sharding keys stands (Route::list_conjunct), for each shard with
// the values alone that `chosen` names for it, by their places in the list of `values` values. Where a shard has none,
// or all, its text is `text`.
// nullopt: the text is none of these, or its list another one; then each shard may be asked for all of them as well.
std::optional<std::vector<std::string>> split_key_list(std::string_view text, uint32_t conjunct, size_t values,
                                                       std::span<const std::vector<size_t>> chosen);

}  // namespace vitrail::plan
