# SPDX-License-Identifier: Apache-2.0
# An annotated ocf.conf out of what `ocfd --help` says of its options: all at their
# defaults, each line a comment. Its lines there are
#	  --section.key=DEFAULT
#	        what it is
BEGIN {
	print "; Configuration of ocfd: all options of this version, with their defaults. A node needs"
	print "; none of them. Take the ; from in front of a line to change it; ocf.conf(5) tells more."
	print "; `ocfd --check-config` says whether the result is valid. Applies at the next start."
}
/^  --[a-z]+\.[a-z_]+=/ {
	dot = index($0, ".")
	equals = index($0, "=")
	section = substr($0, 5, dot - 5)
	key = substr($0, dot + 1, equals - dot - 1)
	value = substr($0, equals + 1)
	if (value == "…")
		value = ""
	if (section != last)
		printf "\n[%s]\n", section
	last = section
	next_is_help = 1
	next
}
next_is_help {
	sub(/^ +/, "")
	printf "; %s\n;%s =%s\n", $0, key, value == "" ? "" : " " value
	next_is_help = 0
	options++
}
END {
	if (options == 0) {
		print "example.awk: ocfd --help lists no options" >"/dev/stderr"
		exit 1
	}
}
