//! One test for each folder of `scenarios/`, so that each is named, run and counted on its own.

macro_rules! scenarios {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                weft_tests::scenario::run(stringify!($name));
            }
        )*

        const LISTED: &[&str] = &[$(stringify!($name)),*];
    };
}

scenarios! {
    admin_enrollments
    bodies
    cancel
    complete
    contents
    contents_choreographed
    contents_refused
    contents_search
    course_create
    course_creation
    course_enrollments
    course_get
    course_list
    course_publish
    dashboard_mobile
    dashboard_web
    enroll
    enroll_idempotent
    enroll_refused
    identity_headers
    login
    logout
    mine
    orders
    prerequisites
    preferences
    profile
    recommendations
    refresh
    register
    roles
    routing
    sagas
    tokens
    users_list
}

#[test]
fn each_folder_has_a_test() {
    let entries = std::fs::read_dir(weft_tests::scenario::folder()).unwrap();
    let mut folders: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    folders.sort();
    let mut listed = LISTED.to_vec();
    listed.sort_unstable();
    assert_eq!(folders, listed);
}
