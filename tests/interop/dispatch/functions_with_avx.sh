# SPDX-License-Identifier: BSL-1.0
# functions_with_avx FILE...: the functions of objects or programs that have an instruction of AVX,
# BMI or AVX-512, each with its kind as nm gives it (T, W: visible; t: local), once per line.
functions_with_avx() {
  local file
  for file in "$@"; do
    awk '
      NR == FNR { if ($3 ~ /^[TtWw]$/) kind[$2 " " $1] = $3; next }           # from nm
      /^Disassembly of section / { section = $4; sub(/:$/, "", section) }
      /^[0-9a-f]+ <.*>:$/ {
        name = $2; gsub(/^<|>:$/, "", name); address = $1; sub(/^0*/, "0", address)
        label = name " " address; next
      }
      /%[yz]mm|\t(v[a-z0-9]+|andn|bextr|bls[a-z]+|bzhi|mulx|pdep|pext|rorx|sarx|shlx|shrx|tzcnt|lzcnt|movbe)[lq]? / {
        if (!(label in seen)) { seen[label] = 1; print (label in kind ? kind[label] : "?"), name }
      }' <(nm -P "$file" | awk '{ address = $3; sub(/^0*/, "0", address); print address, $1, $2 }') \
      <(objdump -d --no-show-raw-insn "$file")
  done
}
