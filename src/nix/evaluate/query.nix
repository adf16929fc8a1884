# Answers a list of questions about the outputs of a flake, in order, without forcing more than they ask for. Each line goes out as
# a trace as soon as it is known, so that none is lost with the process and the first question without an answer is what the process
# died of: `nixdag-MARK {"ready":AT}` once the outputs are there, then `nixdag-MARK ANSWER`, in JSON, for each question. The mark is
# put together here, so that no message that quotes this file or its arguments holds it.
#   { names = PATH; inside = BOOL; }   -> { names = [ … ]; }    the attribute names at PATH; a derivation is opened only if `inside`
#     with `enter`, behind all answers -> { under = PATH; is = ANSWER; }   for each name, if there are at most `most`: the derivation there
#   { below = PATH; names = [ … ]; every = BOOL; enter = DEPTH; }
#                                      -> { drv = "….drv"; }    one answer a name: the derivation at PATH.name, of an app there; with `says`, what the
#                                         package says about its own job, unless it says nothing; with `lacks` and `has`, the
#                                         output that it stands for where its derivation lacks that, and the ones it has
#                                      -> { set = [ … ]; marked = BOOL; }   the attribute names of a set there that asks to be
#                                         entered (`recurseForDerivations`), of any set if `every`
#     with `enter`, so many levels deep, -> { set = [ … ]; marked = true; followed = true; }   of a set that asks to be entered, if it has at
#     behind each answer                  most `most` names and no set around it has the same names; then a line with `under`, as above, for each name
#   { same = PATH; as = PATH; }        -> { same = BOOL; }      whether both sets are equal: that is known at once where they are one
# Other answers: { missing = DEPTH; } nothing has the name at that depth; { kind = TYPE; } the value there is of that type;
# { failed = true; } evaluation failed in a way that `tryEval` catches (only if `guarded`, else the error goes through).
# Unless `guarded`, other lines may come before an answer: { place = …; }, where an attribute on the way is defined, or { unplaced = true; }
# where nobody knows, the last of them about the one in question; { found = "….drv"; }, the derivation whose word about its own job does not evaluate if no answer follows;
# { failed = true; } as above, where the error that follows is one that evaluated code has thrown; not where that is known (`thrown`), as
# to find it out takes as long as the error itself.
# With `jobs` nothing is answered in order: a set comes out with a job for each derivation asked about, for a process that goes through
# all of a set and outlives what fails in it. Each job writes { begin = PATH; } and its answer once it is forced; the value of one for a
# set that asks to be entered is the set of jobs for what is in it. Unless `words`, { failed = true; } is all that is said of an error that
# evaluated code has thrown. With `wrapped` a job is the only attribute of a set.
outputs:
{ mark, guarded, questions, most ? 0, at ? null, thrown ? false, words ? true, jobs ? false, wrapped ? false }:
let
  inherit (builtins)
    attrNames concatMap deepSeq elem elemAt filter foldl' genList getAttr getContext hasAttr head intersectAttrs isAttrs isBool
    isInt isList isString length listToAttrs map mapAttrs seq stringLength tail toJSON trace tryEval typeOf
    unsafeDiscardStringContext unsafeGetAttrPos
    ;

  tell = value: let text = toJSON value; in seq text (trace "nixdag-${mark} ${text}");

  placeOf = name: set:
    let pos = unsafeGetAttrPos name set; in
    if guarded then
      value: value
    else if pos == null then
      tell { unplaced = true; }
    else
      tell { place = { file = unsafeDiscardStringContext pos.file; inherit (pos) line column; }; };

  walk = path: depth: value: use:
    if depth == length path then
      use value
    else if !isAttrs value then
      { kind = typeOf value; above = true; }
    else if !hasAttr (elemAt path depth) value then
      { missing = depth; }
    else
      placeOf (elemAt path depth) value (walk path (depth + 1) (getAttr (elemAt path depth) value) use);

  namesOf = inside: value:
    if !isAttrs value then
      { kind = typeOf value; }
    # `drvPath` first: a package set may well have a package called `type`.
    else if !inside && value ? drvPath && value ? type && value.type == "derivation" then
      { kind = "derivation"; }
    else
      { names = attrNames value; };

  derivationOf = value:
    if isAttrs value && value ? type && value.type == "derivation" then
      let drv = unsafeDiscardStringContext value.drvPath; in
      madeBy drv (saysOf value // lackingOf value)
    else if isAttrs value && value ? type && value.type == "app" then
      if isString (value.program or null) then appOf value else { kind = "app without program"; }
    else
      { kind = typeOf value; };

  madeBy = drv: more: { inherit drv; } // (if guarded then more else tell { found = drv; } more);

  # An app is what `nix run` builds before it runs: the derivation that its program is of.
  appOf = value:
    let
      context = getContext value.program;
      drvs = filter (path: context.${path} ? outputs) (attrNames context);
    in
    if length drvs == 1 then madeBy (head drvs) (saysOf value) else { kind = "app"; };

  # A set may have packages called `type` and `recurseForDerivations`.
  entered = every: value:
    if !isAttrs value || value ? type && (value.type == "derivation" || value.type == "app") then
      derivationOf value
    else
      let marked = value ? recurseForDerivations && value.recurseForDerivations == true; in
      if every || marked then { set = attrNames value; inherit marked; } else { kind = "set"; };

  # The names by which sets are told apart.
  namesIn = set: filter (name: name != "recurseForDerivations") set;

  # The names of all sets on the way to a path, itself included.
  namesAbove = path: value:
    if !isAttrs value then
      [ ]
    else
      [ (namesIn (attrNames value)) ]
      ++ (if path == [ ] || !hasAttr (head path) value then [ ] else namesAbove (tail path) (getAttr (head path) value));

  # A line to write, and the lines behind it: what is in a set that is entered at once. Values on the way to it are shared, which
  # another process would have to evaluate again. One that may be a set around it once more is left to whoever can compare them.
  entry = { path, depth, above, every, wrap }:
    let
      found = answer path (entered every);
      names = namesIn found.set;
      followed = depth > 0 && found.marked or false && !every && length names <= most && !elem names above;
      below = name: entry {
        path = path ++ [ name ];
        depth = depth - 1;
        above = above ++ [ names ];
        every = false;
        wrap = underOf (path ++ [ name ]);
      };
    in
    {
      line = wrap (if followed then found // { inherit followed; } else found);
      behind = if followed then map below names else [ ];
    };

  underOf = path: is: { under = path; inherit is; };

  alone = line: { inherit line; behind = [ ]; };

  # To compare sets of nothing but sets tells little and may have no end. A few attributes tell most sets apart, and no others are
  # forced then. What fails tells nothing: Nix forces attributes before it sees that they are one and the same.
  isOne = one: other:
    let
      first = count: list: genList (elemAt list) (if length list < count then length list else count);
      names = namesIn (attrNames one);
      sound = filter (name: (tryEval (seq one.${name} true)).success);
      plain = first 16 (filter (name: !isAttrs one.${name} || one.${name} ? drvPath) (sound (first 64 names)));
      only = names: intersectAttrs (listToAttrs (map (name: { inherit name; value = null; }) names));
    in
    isAttrs one && isAttrs other && plain != [ ] && only plain one == only plain other
    && (let all = sound names; in only all one == only all other);

  # `meta.timeout`, `meta.ci` and `passthru.ci`, the last of them that has a name. Nothing is trusted: what is no plain value comes out as
  # { wrong = TYPE; }, and what is longer than 64 KiB not at all.
  saysOf = value:
    let
      setOf = ci: if isAttrs ci then ci else { inherit ci; };
      timeout = value.meta.timeout or null;
      says =
        (if timeout == null then { } else { inherit timeout; })
        // setOf (value.meta.ci or { })
        // setOf (value.passthru.ci or { });
      plain = mapAttrs (_: plainOf) says;
      attempt = tryEval (deepSeq plain plain);
      found =
        if !attempt.success then
          { error = { wrong = "error"; }; }
        else if stringLength (toJSON attempt.value) > 65536 then
          { error = { wrong = "size"; }; }
        else
          attempt.value;
    in
    if found == { } then { } else { says = found; };

  # `nix-build` builds the output with this name. What is no result of `derivation` may have any.
  lackingOf = value:
    let
      has = value.drvAttrs.outputs or [ "out" ];
      lacks = value.outputName or "out";
    in
    if value ? drvAttrs && isList has && isString lacks && !elem lacks has then { inherit lacks has; } else { };

  plainOf = value:
    if isString value then
      unsafeDiscardStringContext value
    else if isInt value || isBool value then
      value
    else if isList value then
      map (item: if isList item then { wrong = "list"; } else plainOf item) value
    else
      { wrong = typeOf value; };

  answer = path: use:
    let
      found = walk path 0 outputs use;
      complete = deepSeq found found;
      attempt = tryEval complete;
    in
    if thrown then
      complete
    else if attempt.success then
      attempt.value
    else if guarded || !words then
      failed
    else
      tell failed complete;

  failed = { failed = true; };

  under =
    question:
    let
      there = (answer question.names (namesOf question.inside)).names or [ ];
      at = name: question.names ++ [ name ];
    in
    if question ? enter && length there <= most then
      map (name: entry {
        path = at name;
        depth = question.enter;
        above = namesAbove question.names outputs;
        every = false;
        wrap = underOf (at name);
      }) (namesIn there)
    else
      [ ];

  # The depth to which sets are entered ends what has no end, as sets with the same names as one around them do.
  jobsOf = names: entryOf: listToAttrs (map (name: {
    inherit name;
    value = if wrapped then { job = jobOf (entryOf name); } else jobOf (entryOf name);
  }) names);

  jobOf = { path, depth, above, every }:
    let
      found = answer path (entered every);
      names = namesIn found.set;
      followed = depth > 0 && found.marked or false && !every && !elem names above;
    in
    tell { begin = path; } (tell (if followed then found // { inherit followed; } else found) (
      if followed then
        jobsOf names (name: { path = path ++ [ name ]; depth = depth - 1; above = above ++ [ names ]; every = false; })
      else
        { }
    ));

  jobsAt = question: jobsOf question.names (name: {
    path = question.below ++ [ name ];
    depth = question.enter;
    above = namesAbove question.below outputs;
    inherit (question) every;
  });

  say = told: { line, behind }: tell line (foldl' say (told + 1) behind);

  answers = concatMap (
    question:
    if question ? below then
      map (name: entry {
        path = question.below ++ [ name ];
        depth = question.enter or 0;
        above = namesAbove question.below outputs;
        inherit (question) every;
        wrap = line: line;
      }) question.names
    else if question ? same then
      [ (alone (answer question.same (one: walk question.as 0 outputs (other: { same = isOne one other; })))) ]
    else
      [ (alone (answer question.names (namesOf question.inside))) ]
  ) questions;
in
# Names in `nix repl` may be hidden by the outputs'.
if jobs then
  listToAttrs (genList (n: { name = "q${toString n}"; value = jobsAt (elemAt questions n); }) (length questions))
else
  seq outputs (tell { ready = at; hides = outputs ? builtins; } (seq (foldl' say 0 answers) (foldl' say 0 (concatMap under questions))))
