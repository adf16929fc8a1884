# Answers a list of questions about the outputs of a flake, in order, without forcing more than they ask for. Each answer goes out as
# a trace as soon as it is known, so that none is lost with the process and the first one without an answer is what the process died
# of: `MARK ready` once the outputs are there, then `MARK ANSWER`, in JSON, for each question.
#   { names = PATH; inside = BOOL; }   -> { names = [ … ]; }    the attribute names at PATH; a derivation is opened only if `inside`
#   { below = PATH; names = [ … ]; }   -> { drv = "….drv"; }    one answer a name: the derivation at PATH.name
# Other answers: { missing = DEPTH; } nothing has the name at that depth; { kind = TYPE; } the value there is of that type;
# { failed = true; } evaluation failed in a way that `tryEval` catches (only if `guarded`, else the error goes through).
outputs:
{ mark, guarded, questions }:
let
  inherit (builtins)
    attrNames concatMap deepSeq elemAt foldl' getAttr hasAttr isAttrs length map seq toJSON trace tryEval typeOf
    unsafeDiscardStringContext
    ;

  walk = path: depth: value: use:
    if depth == length path then
      use value
    else if !isAttrs value then
      { kind = typeOf value; above = true; }
    else if !hasAttr (elemAt path depth) value then
      { missing = depth; }
    else
      walk path (depth + 1) (getAttr (elemAt path depth) value) use;

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
      { drv = unsafeDiscardStringContext value.drvPath; }
    else
      { kind = typeOf value; };

  answer = path: use:
    let
      found = walk path 0 outputs use;
      complete = deepSeq found found;
      attempt = tryEval complete;
    in
    if !guarded then complete else if attempt.success then attempt.value else { failed = true; };

  say = told: answer: let text = toJSON answer; in seq text (trace "${mark} ${text}" (told + 1));

  answers = concatMap (
    question:
    if question ? below then
      map (name: answer (question.below ++ [ name ]) derivationOf) question.names
    else
      [ (answer question.names (namesOf question.inside)) ]
  ) questions;
in
seq outputs (trace "${mark} ready" (foldl' say 0 answers))
